"""What `regraft ensemble` leaves: a folder with data, text, predictions and a picture."""

import json
import os
import platform
from importlib import metadata
from pathlib import Path
from typing import Any

from regraft import __version__, predictions
from regraft.ensemble import words
from regraft.ensemble.choose import Combination, Ensemble, alone, ece, interval
from regraft.ensemble.combine import Score
from regraft.errors import RegraftError
from regraft.escaping import in_markdown
from regraft.figures.ensemble import Line, draw
from regraft.paths import shown, whole_folder, write_whole
from regraft.tables import markdown_row

FOLDER, JSON, MARKDOWN, PICTURE = "ensemble", "ensemble.json", "ensemble.md", "ensemble.png"
PACKAGES = ("numpy", "scipy")
TEXTS = ("combination", "run", "settings")


def write(ensemble: Ensemble, home: Path) -> Path:
    """Write the folder `ensemble` inside `home` whole, in place of an earlier one; its path.

    Raises RegraftError if it cannot be written, or something else has this name.
    """
    folder = home / FOLDER
    try:
        with whole_folder(folder, JSON) as unfinished:
            chosen, members = ensemble.chosen, ensemble.members
            said = {
                split: (members.names[split], labels, chosen.mixed[split])
                for split, labels in members.labels.items()
            }
            predictions.write(unfinished / predictions.NAME, members.classes, said)
            sizes = {split: len(labels) for split, labels in members.labels.items()}
            draw(lines(ensemble), unfinished / PICTURE, **sizes)
            write_whole(unfinished / MARKDOWN, markdown(ensemble).encode("utf-8", "replace"))
            text = json.dumps(as_dict(ensemble, home), indent=2, allow_nan=False) + "\n"
            write_whole(unfinished / JSON, text.encode())
    except OSError as error:
        raise RegraftError(f"cannot write {shown(folder)}: {error.strerror}") from error
    return folder


def as_dict(ensemble: Ensemble, home: Path) -> dict[str, Any]:
    """ensemble.json; folders are relative to `home`."""
    members, chosen = ensemble.members, ensemble.chosen
    return {
        "method": chosen.method,
        "combined": ensemble.pays,
        "better": ensemble.difference(chosen).proven,
        "members": [_member(ensemble, index, home) for index in range(len(members.runs))],
        "tried": {one.method: _tried(ensemble, one) for one in ensemble.rows},
        "difference": vars(ensemble.difference(chosen)),
        "left_out": [
            {"folder": _relative(job.folder, home), "why": job.error} for job in members.left_out
        ],
        "classes": list(members.classes),
        "data": {split: len(labels) for split, labels in members.labels.items()},
        "versions": {
            "regraft": __version__,
            "python": platform.python_version(),
            **{name: metadata.version(name) for name in PACKAGES},
        },
    }


def _member(ensemble: Ensemble, index: int, home: Path) -> dict[str, Any]:
    run, used = ensemble.members.runs[index], index in ensemble.chosen.used
    less = ensemble.without(index) if used else None
    return {
        "folder": _relative(run.job.folder, home),
        "name": run.name,
        "weight": round(float(ensemble.chosen.shares[index]), 6),
        "metrics": {
            **_metrics("val", run.val),
            **_metrics("test", alone(ensemble.members, run, "test")),
        },
        "without": _metrics("val", less) if less else None,
        "cost": {key: run.job.cost.get(key) for key in ("params_total", "fit_s")},
    }


def _tried(ensemble: Ensemble, one: Combination) -> dict[str, Any]:
    metrics: dict[str, float] = {}
    for split, labels in ensemble.members.labels.items():
        metrics |= _metrics(split, one.scores[split])
        metrics[f"{split}/ece"] = round(ece(one.mixed[split], labels), 6)
    runs = ensemble.members.runs
    return {
        "metrics": metrics,
        "weights": {runs[i].label: round(float(one.shares[i]), 6) for i in one.used},
        "cost": ensemble.cost(one),
    }


def _metrics(split: str, score: Score) -> dict[str, float]:
    return {f"{split}/{name}": round(value, 6) for name, value in score._asdict().items()}


def _relative(folder: Path, home: Path) -> str:
    return Path(os.path.relpath(folder, home)).as_posix()


def lines(ensemble: Ensemble) -> list[Line]:
    """The rows of the picture: combinations, then members."""
    labels = ensemble.members.labels["test"]
    made = []
    for one in ensemble.rows:
        val, test = (one.scores[split].acc for split in ("val", "test"))
        name = f"{words.named(one)} ({len(one.used)} of {len(ensemble.members.runs)})"
        chosen = one is ensemble.chosen
        made.append(Line(name, val, test, interval(test, labels), chosen=chosen))
    for run, share in zip(ensemble.members.runs, ensemble.chosen.shares.tolist(), strict=True):
        test = alone(ensemble.members, run, "test").acc
        name = f"{run.label}: {run.name}" if run.name else run.label
        made.append(Line(name, run.val.acc, test, interval(test, labels), share))
    return made


def markdown(ensemble: Ensemble) -> str:
    """ensemble.md: what was chosen, all that was tried, who contributes, how to read it."""
    text = ["# Ensemble", "", f"{in_markdown(words.about(ensemble))}.", ""]
    text += [f"- {in_markdown(line)}." for line in words.verdict(ensemble)]
    text += ["", f"![Accuracy of combinations and members]({PICTURE})", ""]
    text += _table(words.TRIED, words.tried(ensemble))
    text += ["", "\\* chosen on the validation images", ""]
    text += _table(words.USED, words.used(ensemble))
    text += [f"\n{in_markdown(line)}" for line in words.left_out(ensemble)]
    return "\n".join([*text, "", "## How to read this", "", words.HOW, ""])


def _table(head: tuple[str, ...], rows: list[list[str]]) -> list[str]:
    made = [markdown_row(head), markdown_row(["---" if name in TEXTS else "---:" for name in head])]
    return made + [markdown_row([in_markdown(text) for text in row]) for row in rows]
