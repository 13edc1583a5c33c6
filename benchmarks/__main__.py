"""Runs the benchmarks: ``python -m benchmarks [name ...] [--option ...]``; figures compare within one run."""

from __future__ import annotations

import importlib
import pkgutil
import sys
from itertools import takewhile

import benchmarks


def main() -> None:
    """Run those named, or all."""
    known = sorted(
        module.name for module in pkgutil.iter_modules(benchmarks.__path__) if not module.name.startswith("_")
    )
    wanted = list(takewhile(lambda word: not word.startswith("-"), sys.argv[1:])) or known
    if unknown := sorted(set(wanted) - set(known)):
        sys.exit(f"No benchmark {', '.join(unknown)}; there are {', '.join(known)}.")
    for name in wanted:
        print(f"\n== {name} ==", flush=True)
        importlib.import_module(f"benchmarks.{name}").main()


if __name__ == "__main__":
    main()
