"""What a person reads in the terminal: the plan before the training, the result after it."""

from collections.abc import Mapping
from typing import Any

from rich.console import Console
from rich.filesize import decimal
from rich.table import Column, Table
from rich.text import Text

from regraft.data.transforms import InputConfig
from regraft.escaping import printable
from regraft.jobs import CALLED, judge
from regraft.statistics import wilson
from regraft.tracking import Record


def show_plan(console: Console, record: Record, input: InputConfig) -> None:
    """Print the plan and the data it is for, and keep both as plan.txt."""
    data, choices = record.result["data"], record.result["choices"]
    decided = record.result["strategy"]["name"]
    name = choices["strategy"]
    name += f" ({decided})" if name == "auto" else ""
    title = f"{name}: what happens to {record.result['backbone']}"
    table = Table(title=Text(printable(title)))
    for name, justify in COLUMNS.items():
        table.add_column(name, justify=justify)
    for row in record.result["plan"]:
        table.add_row(*map(Text, _cells(row)))
    sizes = ", ".join(f"{data[split]:,} {split}" for split in ("train", "val", "test"))
    line = f"{data['name']}: {data['classes']} classes, {sizes} images"
    once = record.result["features"]
    if not any(row["cached"] for row in record.result["plan"]):
        once = f"nothing ({once})"
    with (record.job.folder / "plan.txt").open("w", encoding="utf-8") as file:
        for out in (console, Console(file=file, width=100)):
            out.print(table)
            splits = [f"splits: {data['splits']}"] if "splits" in data else []
            for said in (line, *splits, f"input: {input}", f"computed once: {once}"):
                out.print(printable(said), highlight=False, markup=False)


COLUMNS: dict[str, Any] = {
    "stage": "left",
    "modules": "left",
    "parameters": "right",
    "action": "left",
    "lr ratio": "right",
    "starts": "right",
    "cached": "left",
}


def _cells(row: dict[str, Any]) -> list[str]:
    ratio = "" if row["lr_ratio"] is None else f"{row['lr_ratio']:.3g}"
    starts = f"{row['starts']:.0%}" if row["starts"] else ""
    cached = "yes" if row["cached"] else ""
    params = f"{row['params']:,}"
    return [row["stage"], row["modules"], params, row["action"], ratio, starts, cached]


def headline(result: Mapping[str, Any]) -> str:
    """How good a run is, on how many images, and how exactly that many can tell."""
    metrics, calibration, split = result["metrics"], result["calibration"], judge(result["data"])
    acc, images = metrics[f"{split}/acc"], result["data"][split]
    low, high = wilson(acc, images)
    other = f", {metrics['val/acc']:.3f} val" if split == "test" and "val/acc" in metrics else ""
    chosen = ", which chose the epoch, too" if split == "val" else ""
    cold = f"{calibration['temperature']:.2f} of {calibration['images']:,} validation images"
    cold = cold if calibration["images"] else "1, as there are no validation images"
    return (
        f"{acc:.3f} {CALLED[split]} ({low:.3f} to {high:.3f} on {images:,} images{chosen}){other} "
        f"(macro F1 {metrics[f'{split}/macro_f1']:.3f}, "
        f"calibration error {metrics[f'{split}/ece']:.3f}, "
        f"{metrics[f'{split}/ece_uncalibrated']:.3f} without the temperature {cold})"
    )


def predicted(cost: Mapping[str, Any]) -> str:
    """What doctor had said of the seconds, if it was asked."""
    return f" (doctor said {cost['predicted_s']:.1f})" if "predicted_s" in cost else ""


def show_result(console: Console, record: Record) -> None:
    """Print a finished run in a few lines: how good, at what cost, where, what next."""
    result, folder = record.result, record.job.folder
    cost, calibration = result["cost"], result["calibration"]
    # In a sweep blocks of jobs that run side by side alternate.
    lines = {"job": folder.name} if record.job.sweep else {}
    lines |= {
        "accuracy": headline(result),
        "cost": f"{cost['wall_s']:.1f} s without the program's start{predicted(cost)}, "
        f"of which training {cost['fit_s']:.1f} s; "
        f"{cost['images_forwarded']:,} images forwarded; "
        f"{cost['params_trained']:,} of {cost['params_total']:,} parameters trained",
        "files": f"{folder}",
    }
    if result.get("trial"):
        lines["trial"] = "trainer.fast_dev_run: these numbers say nothing, and no weights are kept"
    if calibration["threshold"] is not None:
        judged = judge(result["data"])
        said = calibration[judged]
        right = f", of which {said['precision']:.1%} are right" if said["images"] else ""
        lines["threshold"] = (
            f"{calibration['threshold']:.3f} for a precision of {calibration['precision']}: above "
            f"are {said['coverage']:.1%} of the {CALLED[judged]} images{right}"
        )
    if cost["cache"] != "off":
        found = "found" if cost["cache"] == "hit" else "computed"
        size, less = decimal(cost["cache_bytes"]), max(0.0, cost["saved_s"])
        lines["features"] = (
            f"{found} ({size}): {less:.1f} s or more saved, against sending all images through "
            "the frozen stages in every epoch"
        )
    if asked := result["scores"]:
        lines["probe"] = (
            f"{asked['linear']['acc']:.3f} ({asked['linear']['low']:.3f} to "
            f"{asked['linear']['high']:.3f}) of {asked['images']:,} training images, "
            f"cross-validated; kNN {asked['neighbours']['acc']:.3f}, LogME {asked['logme']:.3f}, "
            f"H-score {asked['hscore']:.2f}, majority class {asked['majority']:.3f}"
        )
    if result["forecast"]:
        lines["forecast"] = result["forecast"]["words"]
    if record.run is not None and record.run.settings.mode != "disabled":
        offline = record.run.settings.mode == "offline"
        lines["W&B"] = "offline; upload with make sync" if offline else str(record.run.url)
        if not offline and "problem" in result["wandb"]:
            lines["W&B"] += f" (incomplete; upload with wandb sync {folder}/wandb/run-*)"
    table = Table.grid("", Column(overflow="fold"), padding=(0, 2))  # a path's end is not cut off
    for name, text in lines.items():
        table.add_row(Text(name, "bold"), Text(printable(text)))
    console.print(table, highlight=False, soft_wrap=True)
