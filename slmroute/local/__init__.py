"""An Ollama-compatible server over llama.cpp, for machines without Ollama (the extra ``local``).

It serves one GGUF file on loopback; ``slmroute serve`` runs it from the command line.
"""

from __future__ import annotations

from slmroute.local.model_file import default_model
from slmroute.local.server import LocalServer
from slmroute.local.tally import Counts

__all__ = ["Counts", "LocalServer", "default_model"]
