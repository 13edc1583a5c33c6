"""The process that holds the model: llama.cpp's own server on a loopback port that nobody else has the key of.

A process of its own, as Ollama has one: loading blocks all threads of the process that does it, llama.cpp takes over
its signal handlers, and a crash takes it along. It is started as a file, and lives as long as its standard input.
"""

from __future__ import annotations

import json
import os
import signal
import sys
from importlib import import_module
from typing import Any

QUIET = -1


def llama_cpp() -> Any:
    """Import llama.cpp, which has no types."""
    return import_module("xllamacpp")


def parameters(settings: dict[str, Any]) -> Any:
    """Put the settings in llama.cpp's terms."""
    params: Any = llama_cpp().CommonParams()
    params.model.path = settings["model"]
    params.n_parallel = settings["parallel"]
    params.n_ctx = settings["num_ctx"] * settings["parallel"]
    params.hostnames = ["127.0.0.1"]
    params.port = 0
    params.api_keys = [settings["key"]]
    params.cache_ram_mib = settings["cache_mib"]
    params.verbosity = QUIET
    params.ui = False
    params.cpuparams.n_threads = settings["threads"]
    params.cpuparams_batch.n_threads = settings["prompt_threads"]
    if settings["template"]:
        params.chat_template = settings["template"]
    return params


def main() -> None:
    """Load the model, tell where it answers, and wait for the end of standard input."""
    settings = json.loads(sys.stdin.readline())
    # What the libraries write goes to standard error; the one line on standard output is ours.
    told = os.fdopen(os.dup(1), "w")
    os.dup2(2, 1)

    server: Any = llama_cpp().Server(parameters(settings))
    signal.signal(signal.SIGINT, signal.SIG_IGN)
    signal.signal(signal.SIGTERM, signal.SIG_DFL)
    told.write(json.dumps({"url": server.listening_address}) + "\n")
    told.flush()
    nowhere = os.open(os.devnull, os.O_WRONLY)
    os.dup2(nowhere, 1)
    os.dup2(nowhere, 2)
    sys.stdin.read()
    # Without waiting for generations that nobody reads any more.
    os._exit(0)


if __name__ == "__main__":
    main()
