"""Pages on how well routing works: a calibration, an evaluation."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING

from slmroute.errors import ConfigError
from slmroute.report.page import Page, Section, Table, Tile, picture, render
from slmroute.report.quality_charts import curves, reliability_diagram
from slmroute.report.wording import percent

if TYPE_CHECKING:
    from slmroute.calibrate import Calibration
    from slmroute.metrics import ReliabilityBin

__all__ = ["bins_table", "calibration_page", "number", "write_page"]


def calibration_page(found: Calibration) -> str:
    """Write a calibration as one self-contained HTML page.

    Args:
        found: The calibration.

    Raises:
        MissingExtra: The extra ``report`` is not installed.
    """
    left, threshold = found.left_out, found.calibrator.threshold
    series = {"calibrated": left.bins, "mean of the tokens": left.bins_plain}
    served = {"calibrated": [(one.share, one.accuracy) for one in left.coverage]}
    headline = "No threshold keeps the promise" if threshold is None else f"Serve from a confidence of {threshold:.2f}"
    page = Page(
        title=f"slmroute calibrate: {headline}",
        kicker=f"Confidence in answers of {found.calibrator.model or 'a small model'}",
        headline=headline,
        mood="" if threshold is None else "good",
        lead=found.advice,
        tiles=(
            Tile("Right", percent(found.accuracy), f"of {found.outcomes} outcomes"),
            Tile("AUC", number(left.auc), f"plain mean: {number(left.auc_plain)}; {left.by} left out"),
            Tile("Calibration error", number(left.ece), f"plain mean: {number(left.ece_plain)}"),
        ),
        sections=(
            Section(
                title="Reliability",
                lines=("Of the answers with some confidence, so many were right; the diagonal is what should be.",),
                picture=picture("reliability", "The share of right answers against their confidence.",
                                lambda width: reliability_diagram(series, width)),
                tables=(bins_table("By confidence, calibrated", left.bins),),
            ),
            Section(
                title="Serving the surest",
                picture=picture("coverage", "The share of right answers among those served, by how many are served.",
                                lambda width: curves(served, width, across="share of answers served", up="right")),
                tables=(Table("Served and right", ("served", "answers", "right", "confidence from"), tuple(
                    (percent(one.share), str(one.answers), percent(one.accuracy), f"{one.threshold:.3f}")
                    for one in left.coverage
                )),),
            ),
        ),
        footer=(
            f"{left.judged} of {found.outcomes} outcomes were judged, each by a calibrator that had not seen its "
            f"{left.by}. The threshold was tested on {found.tested_on} outcomes, dealt at random, that the fit had not "
            "seen, and holds for answers mixed as they are: fixed-sequence testing with exact binomial bounds "
            f"(Angelopoulos and others, Learn then test, 2021), target {percent(found.target)}, confidence "
            f"{percent(found.confidence)}.",
            *(
                f"The promise would have been broken for {one.source or 'rows without a source'}, left out: "
                f"{one.failures:,} of {one.served:,} served answers were wrong."
                for one in left.worse
            ),
        ),
    )  # fmt: skip
    return render(page)


def bins_table(caption: str, bins: tuple[ReliabilityBin, ...]) -> Table:
    """Give a reliability diagram as numbers."""
    rows = tuple(
        (f"{one.low:.1f} to {one.high:.1f}", str(one.count), f"{one.predicted:.3f}", f"{one.observed:.3f}")
        for one in bins
    )
    return Table(caption, ("between", "number", "mean", "came true"), rows)


def number(value: float | None) -> str:
    """Write a figure with three digits, or a dash."""
    return "-" if value is None else f"{value:.3f}"


def write_page(page: str, path: Path) -> None:
    """Write a page to a file.

    Raises:
        ConfigError: It cannot be written.
    """
    try:
        path.write_text(page, encoding="utf-8")
    except OSError as error:
        raise ConfigError(f"{path} cannot be written: {error.strerror}.") from None
