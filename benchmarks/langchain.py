"""What a router adds to a bare LangChain call, beside two peers, in one run on the same instant fake models."""

from __future__ import annotations

import shutil
import subprocess
import sys
from pathlib import Path

ROOT = Path(__file__).parent.parent
PEERS = ROOT / ".venv-peers"
WANTED = (
    "cascadeflow==1.2.0",
    "langchain-model-router==0.1.0",
    "langchain-core==1.7.2",
    "langchain-ollama==1.1.0",
    "langchain-openai==1.7.3",
    "genai-prices",
    "numpy",
    "pydantic",
)


def main() -> None:
    """Set the peers' environment up, once, and measure in it."""
    python = PEERS / "bin" / "python"
    ready = PEERS / ".ready"
    if not ready.exists():
        print(f"Setting up {PEERS.name} with the peers (once) ...", flush=True)
        shutil.rmtree(PEERS, ignore_errors=True)
        subprocess.run([sys.executable, "-m", "venv", PEERS], check=True)
        subprocess.run([python, "-m", "pip", "install", "--quiet", "--disable-pip-version-check", *WANTED], check=True)
        ready.touch()
    subprocess.run([python, "-m", "benchmarks._langchain_calls"], check=True, cwd=ROOT)


if __name__ == "__main__":
    main()
