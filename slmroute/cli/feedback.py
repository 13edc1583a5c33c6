"""``slmroute feedback``: someone's word on whether an answer was good."""

from __future__ import annotations

from typing import Annotated

import typer

from slmroute.cli.console import err
from slmroute.cli.ledger import LedgerOption, ledger_address
from slmroute.errors import ConfigError, LedgerError

__all__ = ["app"]

app = typer.Typer()


@app.command()
def feedback(
    call_id: Annotated[str, typer.Argument(help="The call, as its record names it.", show_default=False)],
    good: Annotated[
        bool | None, typer.Option("--good/--bad", help="Whether the answer was good.", show_default=False)
    ] = None,
    source: Annotated[str, typer.Option(help="Who says so; of each source the last word holds.")] = "user",
    where: LedgerOption = None,
) -> None:
    """Record whether an answer was good.

    What is said here counts in the failure rates of `slmroute ledger stats`, and overrules what judges found.
    """
    if good is None:
        raise ConfigError("Say whether the answer was --good or --bad.")
    from slmroute.ledger import Ledger, LedgerReader

    address = ledger_address(where)
    stored = LedgerReader(address).call(call_id)
    if stored is None:
        raise LedgerError(f"The ledger has no call {call_id}: take the id from an answer's record, under call_id.")
    with Ledger(address) as ledger:
        ledger.feedback(call_id, good, source=source)
        if not ledger.flush():
            raise LedgerError(f"The ledger {ledger.address.shown} could not be written in time: try again.")
        if ledger.dropped:
            raise LedgerError(f"The ledger {ledger.address.shown} did not take it: nothing was recorded.")
    err.print(f"{call_id}: the answer of {stored.record.tier} was {'good' if good else 'bad'}, says {source}")
