"""Files that a command is to write: found out before the work whether they can be, not after it."""

from __future__ import annotations

from pathlib import Path

from slmroute.errors import ConfigError

__all__ = ["check_ledger_target", "check_target", "write_target"]


def check_target(path: Path, option: str) -> None:
    """Make sure that a file can be written, and leave it as it is.

    Args:
        path: The file.
        option: The option that names it, for the error.

    Raises:
        ConfigError: It cannot be written; the message says why and what to do.
    """
    there = path.exists()
    try:
        with path.open("a", encoding="utf-8"):
            pass
    except OSError as error:
        raise _unwritable(path, option, error) from None
    if not there:
        path.unlink()


def write_target(path: Path, text: str, option: str) -> None:
    """Write a file that an option names.

    Args:
        path: The file.
        text: What is written to it.
        option: The option that names it, for the error.

    Raises:
        ConfigError: It cannot be written.
    """
    try:
        path.write_text(text, encoding="utf-8")
    except OSError as error:
        raise _unwritable(path, option, error) from None


def check_ledger_target(where: str, option: str) -> None:
    """Make sure that a ledger can be written, making it where there is none.

    Args:
        where: The ledger: a file or a database URL.
        option: The option that names it, for the error.

    Raises:
        ConfigError: It cannot be used; the message says why and what to do.
        MissingExtra: The extra ``ledger`` or ``postgres`` is needed.
    """
    from slmroute.ledger.address import Address
    from slmroute.ledger.opening import OUTAGES, prepare, reason

    address = Address(where)
    try:
        prepare(address)
    except OUTAGES as error:
        said = (error.strerror if isinstance(error, OSError) else None) or reason(error)
        raise ConfigError(
            f"{option} {address.shown} cannot be used: {said.rstrip('.')}. Name another file in a folder that can be "
            f"written, for example {option} slmroute.db."
        ) from None


def _unwritable(path: Path, option: str, error: OSError) -> ConfigError:
    fix = f"name a file in a folder that can be written, for example {option} {path.name or 'report.html'}"
    folder = path.absolute().parent
    if not folder.exists():
        fix = f"make its folder first (mkdir -p {folder}), or {fix}"
    return ConfigError(f"{option} {path} cannot be written: {error.strerror}. To mend it, {fix}.")
