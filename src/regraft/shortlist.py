"""A ranking of backbones as text (terminal, sweep.md, backbones.csv) and as a picture."""

import csv
import io
from collections.abc import Sequence
from pathlib import Path
from typing import Any

from rich import box
from rich.console import Console
from rich.table import Table
from rich.text import Text

from regraft.escaping import in_csv, printable
from regraft.escaping import in_markdown as escape
from regraft.figures import backbones
from regraft.ranking import SCORES, Candidate, Ranking, Regret
from regraft.tables import markdown_row

HEAD = (
    "backbone",
    "probe",
    "95 %",
    "",
    "kNN",
    "LogME",
    "H-score",
    "ImageNet",
    "params",
    "test",
)
PARTS = {
    "The probe decides who is trained; test: what training it gave": (0, 1, 2, 3, 9),
    "What else is said of them": (0, 4, 5, 6, 7, 8),
}
REGRETS = ("score", "its first choice", "points lost", "95 %", "")
NO_ANSWER = "None of the scores is an answer by itself (docs/backbones.md)."
CHOSEN = "What was not trained, nobody knows, and the probe chose who was: that favours it. "


def show(ranking: Ranking, console: Console) -> None:
    """Print the candidates, each score's regret, and what that means."""
    rows = [cells(ranking, one) for one in ranking.candidates]
    for title, columns in PARTS.items():  # the whole is wider than a terminal
        head, *part = ([row[column] for column in columns] for row in (HEAD, *rows))
        console.print()
        console.print(_table(title, head, part))
    if len(ranking.trained) > 1:
        console.print()
        lost = [regret_cells(one) for one in ranking.regrets]
        console.print(
            _table(
                "Test accuracy lost by following each score, among those that were trained",
                REGRETS,
                lost,
            )
        )
    console.print(Text(f"\n{printable(ranking.sentence)}", style="bold"))
    console.print(Text(caveat(ranking), style="dim"))


def _table(title: str, head: Sequence[str], rows: Sequence[Sequence[str]]) -> Table:
    table = Table(title=title, title_justify="left", title_style="bold", box=box.SIMPLE_HEAD)
    table.show_edge, table.padding = False, (0, 1, 0, 0)
    for name in head:
        in_words = name in ("backbone", "score", "its first choice", "")
        table.add_column(
            name,
            justify="left" if in_words else "right",
            no_wrap=name not in ("backbone", "its first choice", ""),
            overflow="fold",
        )
    for row in rows:
        table.add_row(*(Text(printable(text)) for text in row))
    return table


def markdown(ranking: Ranking) -> list[str]:
    """The same as lines of sweep.md."""
    lines = ["", "## Which backbone?", ""]
    lines += _markdown_table(HEAD, [cells(ranking, one) for one in ranking.candidates])
    if len(ranking.trained) > 1:
        lost = [regret_cells(one) for one in ranking.regrets]
        lines += [
            "",
            "Test accuracy lost by following each score, among those that were trained:",
            "",
        ]
        lines += _markdown_table(REGRETS, lost)
    return [*lines, "", escape(ranking.sentence), "", caveat(ranking)]


def _markdown_table(head: Sequence[str], rows: Sequence[Sequence[str]]) -> list[str]:
    rule = ["---", *["---:"] * (len(head) - 1)]
    return [markdown_row(row) for row in (head, rule, *([escape(t) for t in r] for r in rows))]


def cells(ranking: Ranking, one: Candidate) -> list[str]:
    """A candidate's row as text."""
    if not one.asked:
        return [one.name, "failed", *[""] * (len(HEAD) - 2)]
    linear, values = one.scores["linear"], {name: value(one) for name, value in SCORES.items()}
    test = one.trained
    return [
        one.name,
        f"{linear['acc']:.3f}",
        f"{linear['low']:.2f}–{linear['high']:.2f}",
        mark(ranking, one),
        f"{values['kNN']:.3f}",
        f"{values['LogME']:.3f}",
        f"{values['H-score']:.2f}",
        one.published if isinstance(one.published, str) else f"{one.published:.1f}",
        f"{(values['parameters'] or 0) / 1e6:.3g}M",
        "" if not test else f"{test.scores.mean:.3f}" if test.scores else "failed",
    ]


def caveat(ranking: Ranking) -> str:
    """What the numbers do not say."""
    probed = [one for one in ranking.candidates if one.asked]
    return (CHOSEN if len(ranking.trained) < len(probed) else "") + NO_ANSWER


def mark(ranking: Ranking, one: Candidate) -> str:
    """Whether the probe puts a candidate first, or cannot tell it from the first."""
    verdict = ranking.by_probe
    if not verdict or one.name not in verdict.winners:
        return ""
    return "first" if one.name == verdict.best else "tie"


def regret_cells(one: Regret) -> list[str]:
    """What a score's first choice has cost, as text."""
    if one.behind is None:
        return [one.score, "none", "", "", one.why]
    low, high = one.interval or (None, None)
    between = "" if low is None or high is None else f"{100 * low:+.1f} to {100 * high:+.1f}"
    verdict = "tie" if one.tie else "worse" if one.behind else "the best"
    return [one.score, one.choice or "", f"{100 * one.behind:.1f}", between, verdict]


def csv_table(ranking: Ranking) -> str:
    """backbones.csv: a row per candidate, failed ones with their error."""
    text = io.StringIO()
    writer = csv.writer(text, lineterminator="\n")
    probe = ["probe_low", "probe_high", "probe_verdict", "probe_p", "test_acc", "test_low"]
    writer.writerow(["backbone", "name", *SCORES, *probe, "test_high", "error"])
    for one in ranking.candidates:
        linear, test = one.scores.get("linear", {}), one.trained
        low, high = (test.interval if test else None) or (None, None)
        compared = ranking.by_probe.comparisons.get(one.name) if ranking.by_probe else None
        scores: dict[str, Any] = {name: value(one) for name, value in SCORES.items()}
        scores["ImageNet top-1"] = one.published  # or why there is none
        row = [one.name, one.probe.backbone, *scores.values(), linear.get("low")]
        row += [linear.get("high"), mark(ranking, one), compared.p if compared else None]
        row += [test.scores.mean if test and test.scores else None, low, high, one.probe.error]
        writer.writerow(in_csv(printable(v) if isinstance(v, str) else v) for v in row)
    return text.getvalue()


def draw(ranking: Ranking, path: Path) -> Path:
    """backbones.png."""
    bars = []
    for one in ranking.candidates:
        linear, test = one.scores.get("linear"), one.trained
        measured = test.scores.mean if test and test.scores else None
        winners = ranking.by_test.winners if ranking.by_test else ()
        bars.append(
            backbones.Bar(
                printable(one.name),
                (linear["acc"], linear["low"], linear["high"]) if linear else None,
                (measured, *(test.interval or (measured, measured)))
                if test and measured is not None
                else None,
                one.scores.get("params"),
                test.mean("compared", "wall_s") if test else None,
                mark(ranking, one),
                len(ranking.trained) > 1 and one.name in winners,
                "failed" if not linear else "",
            )
        )
    backbones.draw(bars, path, images=_images(ranking))
    return path


def _images(ranking: Ranking) -> int:
    return max((one.scores.get("images", 0) for one in ranking.candidates), default=0)
