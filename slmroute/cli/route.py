"""``slmroute route``: which tier a text goes to, and why; and, if asked, the answer."""

from __future__ import annotations

import dataclasses
import sys
from collections.abc import Generator
from contextlib import contextmanager
from decimal import Decimal
from typing import TYPE_CHECKING, Annotated, Any

import typer

from slmroute.cli.console import err, out, print_json
from slmroute.cli.router import ConfigOption, chat_model, router_config
from slmroute.errors import ConfigError, SlmrouteError

if TYPE_CHECKING:
    from rich.console import Console

    from slmroute.config import RouterConfig
    from slmroute.policy import Policy
    from slmroute.request import RouteRequest

__all__ = ["app"]

app = typer.Typer()

REASONS = {
    "cheapest": "there is no classifier, so every call starts at the cheapest tier",
    "default": "the classifier could not be asked, so the default tier answers; `slmroute doctor` finds out why",
    "only": "no other tier can take this call",
    "explicit": "it was asked for by name",
}


@app.command()
def route(
    text: Annotated[str, typer.Argument(help="The request; - reads it from standard input.", show_default=False)],
    config: ConfigOption = None,
    local_only: Annotated[bool, typer.Option("--local-only", help="Stay on tiers declared local.")] = False,
    answer: Annotated[bool, typer.Option("--answer", help="Have the tier answer, really.")] = False,
    as_json: Annotated[bool, typer.Option("--json", help="Print JSON.")] = False,
) -> None:
    """Tell which tier a text goes to, and why.

    Nothing is called but the classifier. With --answer the tier is called, and the answer stands on standard output.
    """
    text = sys.stdin.read() if text == "-" else text
    if not text.strip():
        raise ConfigError('The text is empty: write it as in slmroute route "Is this positive? I loved it.".')
    settings = router_config(config)
    if answer:
        answered(settings, text, local_only=local_only, as_json=as_json)
        return
    decision = decided(settings, text, local_only=local_only)
    if as_json:
        print_json(decision)
    else:
        show(out, decision)


def decided(settings: RouterConfig, text: str, *, local_only: bool) -> dict[str, Any]:
    """Find out where a call would start, by the very flow that a router uses, without calling any tier."""
    from slmroute.ask import score
    from slmroute.engine import Engine
    from slmroute.request import RouteRequest
    from slmroute.run import Run
    from slmroute.steps import Call, Classify

    request = dataclasses.replace(RouteRequest.from_text(text), local_only=local_only)
    engine = Engine(settings.policy, settings.classifier, prices=settings.settings.get("prices"))
    with Run(engine, request) as run:
        step = run.advance()
        while isinstance(step, Classify):
            step = run.advance(score(run, step))
    assert isinstance(step, Call)  # noqa: S101  the flow asks for a tier before anything else
    return {
        "tier": step.tier.name,
        "model": step.tier.model if isinstance(step.tier.model, str) else type(step.tier.model).__name__,
        "score": run.score,
        "reason": step.reason,
        "why": why(settings.policy, request, step.tier.name, step.reason, run.score),
        "thresholds": list(settings.policy.thresholds),
        "classifier": engine.classifier_version,
        "events": run.events,
        "config": settings.file,
    }


def why(policy: Policy, request: RouteRequest, tier: str, reason: str, score: float | None) -> str:
    """Say why a call starts where it starts."""
    if reason != "classified" or score is None:
        return REASONS.get(reason, reason)
    below = [threshold for threshold in policy.thresholds if score > threshold]
    above = [threshold for threshold in policy.thresholds if score <= threshold]
    parts = [f"over the threshold {below[-1]:.2f}"] if below else []
    parts += [f"not over {'the threshold ' if not below else ''}{above[0]:.2f}"] if above else []
    text = f"the score is {' and '.join(parts)}"
    wanted = policy.tier_for(score)
    if wanted.name == tier:
        return text
    barred = request.local_only and not wanted.local
    return f"{text}, but {wanted.name!r} {'is not local' if barred else 'has too small a window for it'}"


def answered(settings: RouterConfig, text: str, *, local_only: bool, as_json: bool) -> None:
    """Have the router answer, and show its record."""
    from slmroute.cli.findings import client_errors
    from slmroute.cli.round_trip import status_of
    from slmroute.request import RouteRequest

    arguments = settings.arguments()
    pieces: list[str] = []
    record: dict[str, Any] = {}
    try:
        with opened_ledger(arguments):
            model = chat_model(arguments, "slmroute route --answer")
            for chunk in model.stream(text, local_only=local_only):
                pieces.append(chunk.text)
                record = chunk.response_metadata.get("slmroute") or record
                if not as_json:
                    sys.stdout.write(chunk.text)
                    sys.stdout.flush()
    except SlmrouteError:
        raise
    except client_errors() as error:
        raise SlmrouteError(
            f"No tier answered: {status_of(error)}. `slmroute doctor` tries each and tells how to mend it."
        ) from error
    if as_json:
        print_json({"answer": "".join(pieces), "record": record})
    else:
        sys.stdout.write("\n")
        score: float | None = record.get("score")
        started_at = settings.policy.tier_for(score).name if score is not None else ""
        reason = why(settings.policy, RouteRequest.from_text(text), started_at, str(record.get("reason")), score)
        show(err, record | {"why": reason})


@contextmanager
def opened_ledger(arguments: dict[str, Any]) -> Generator[None]:
    """Open the ledger that the arguments name; at the end everything is written and it is closed."""
    if arguments.get("ledger") is None:
        yield
        return
    from slmroute.ledger import Ledger

    with Ledger(arguments["ledger"]) as ledger:
        arguments["ledger"] = ledger
        yield


def show(console: Console, decision: dict[str, Any]) -> None:
    """Print a decision, or an answer's record, for people."""
    from rich.text import Text

    score = decision.get("score")
    lines = {
        "tier": f"{decision.get('tier')} ({decision.get('model')})",
        "score": None if score is None else f"{score:.2f} (0 simple, 1 complex)",
        "why": decision.get("why"),
        "escalated": "yes, the first answer was weak" if decision.get("escalated") else None,
        "degraded": "yes, a better tier failed and this is the best answer there was"
        if decision.get("degraded")
        else None,
        "cost": spending(decision),
        "noted": ", ".join(decision.get("events") or ()) or None,
    }
    for name, value in lines.items():
        if value is not None:
            console.print(Text.assemble((f"{name:<10}", "bold"), str(value)), soft_wrap=True)


def spending(record: dict[str, Any]) -> str | None:
    """Say what an answer cost and what was saved by it; None where nothing was answered."""
    from slmroute.report.wording import alike

    if "cost" not in record:
        return None
    cost, saved, projected = (
        None if record.get(name) is None else Decimal(record[name]) for name in ("cost", "saved", "projected")
    )
    spent, gained = alike(cost, saved if saved is not None else projected)
    if cost is None:
        return "not known: a tier or the classifier has no price (input_price=, output_price=)"
    if record.get("degraded"):
        return f"{spent}; that is no saving, as a better tier failed"
    if saved is not None:
        return f"{spent}, saved {gained}"
    if projected is not None:
        return f"{spent}, projected saving {gained} (the last tier is a dry run)"
    return f"{spent}, saving not known: the last tier has no price (input_price=, output_price=)"
