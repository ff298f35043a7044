"""`regraft forecast`: how much more data a finished run or sweep would need, and of which classes.

A run with a frozen trunk is measured on its features, as strategy=collect does; a sweep over the
size of the data has been measured already.
"""

import logging
import warnings
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from omegaconf import DictConfig, OmegaConf
from rich import box
from rich.console import Console
from rich.table import Table
from rich.text import Text

from regraft import forecast_file, sizes
from regraft.classwise import LEAST
from regraft.config import build
from regraft.earlier import CONFIG
from regraft.errors import RegraftError
from regraft.escaping import printable
from regraft.forecast import FACTORS, Forecast, check_target
from regraft.jobs import is_job, load_result, table
from regraft.paths import conf_folder, shown

TOP = 5  # classes in the terminal


def show(folder: Path, console: Console, *, target: float | None, as_json: bool) -> None:
    """Forecast, write the files into the folder, and print what they say."""
    if target is not None:
        check_target(target, "--target")
    try:
        if is_job(folder):
            one = of_run(folder, target)
            found, names = {"": one}, forecast_file.write(one, folder)
        else:
            found = sizes.curves(folder, target or _shipped().target_acc)
            names = forecast_file.write_several(found, folder)
    except OSError as error:
        raise RegraftError(f"cannot write into {shown(folder)}: {error.strerror}") from error
    if as_json:
        print((folder / forecast_file.FORECAST).read_text(encoding="utf-8"), end="")
        return
    for name, one in found.items():
        _print(name, one, console)
    best = forecast_file.best(found)
    if found[best].by_class:
        _print_classes(best, found[best], console)
    console.print(Text(f"{', '.join(names)} in {shown(folder)}"), soft_wrap=True)


def of_run(folder: Path, target: float | None) -> Forecast:
    """A finished run's forecast: from what it has measured already, or measured now.

    Raises RegraftError for one that has not finished, and for one that trained its trunk, with the
    words for a sweep over the size.
    """
    record, error = load_result(folder / "result.json")
    if error:
        why = f"{shown(folder)} has not finished ({error})"
        if "regraft resume" in error:
            raise RegraftError(why)
        raise RegraftError(f"{why}: go on with regraft resume {shown(folder)}")
    trained = {row.get("action") for row in record.get("plan") or []} & {"tune", "reset"}
    if trained:
        words = sizes.as_decided(record.get("overrides") or [], table(record, "advice"))
        command = sizes.command(words, folder, table(record, "data"))
        raise RegraftError(
            f"{shown(folder)} trained its trunk, so its curve needs trainings at several sizes: "
            f"{command}; then regraft forecast outputs/sweeps/<date>/<time>"
        )
    if target is None:
        target = _of_its_own(folder).target_acc
    return forecast_file.read(folder, target) or _measured(folder, record, target)


def _measured(folder: Path, record: Mapping[str, Any], target: float) -> Forecast:
    """Heads trained anew on nested subsets of the run's features, as strategy=collect does."""
    from regraft import collect, rebuild  # torch and Lightning take seconds to import
    from regraft.experiment import EXPECTED

    for message in EXPECTED:
        warnings.filterwarnings("ignore", message)
    logging.getLogger("pytorch_lightning").setLevel(logging.ERROR)
    aside = Console(stderr=True)  # so that --json is nothing but JSON
    cfg = rebuild.config_of(folder)
    strategy = build(_of_its_own(folder), target_acc=target)
    listing = table(record, "data").get("listing")
    parts = rebuild.frozen(cfg, listing, aside, collect.QUIET)
    with aside.status("training heads on nested subsets"):
        return collect.curve_of(strategy, *parts, cfg)


def _of_its_own(folder: Path) -> DictConfig:
    """The choices of strategy=collect: the run's, where it was one, or as they are shipped."""
    try:
        strategy = OmegaConf.load(folder / CONFIG).strategy
        return strategy if "target_acc" in strategy else _shipped()
    except Exception:  # whatever is wrong with the file is said where the run is built from it
        return _shipped()


def _shipped() -> DictConfig:
    return OmegaConf.load(conf_folder() / "strategy" / "collect.yaml").strategy


def _print(name: str, found: Forecast, console: Console) -> None:
    """One curve: the answer, what more images bring, and what each of the two laws says."""
    if name:
        console.print(Text(printable(name), style="bold"))
    console.print(Text(found.words))
    if found.gains_words:
        console.print(Text(found.gains_words))
    made = _table(
        "error with n images per class", "levels off", "at 2×", "at 4×", f"for {found.target_acc:g}"
    )
    now = found.per_class_now
    for law, told in zip(found.curve.laws, found.fit["laws"], strict=True):
        text = f"{law.alpha:.3f} + {law.eta:.3f} × n^{law.gamma:.2f}"
        then = [f"{float(law.acc(factor * now)):.3f}" for factor in FACTORS]
        needed = told["per_class_total"]
        made.add_row(text, f"{1 - law.alpha:.3f}", *then, f"{needed:,}" if needed else "–")
    ends = [found.curve.band(factor * now)[:, 0].tolist() for factor in FACTORS]
    level, total = found.asymptote, found.per_class_total
    made.add_row(
        "their mean, nominal 90 %",
        f"{level['low']:.3f}–{level['high']:.3f}",
        *(f"{low:.3f}–{high:.3f}" for low, high in ends),
        _interval(total) if total and not found.already else "–",
    )
    console.print(made, "")


def _interval(total: Mapping[str, int | None]) -> str:
    high = total["high"]
    return f"{total['low']:,}–{f'{high:,}' if high else '∞'}"


def _print_classes(name: str, found: Forecast, console: Console) -> None:
    """The classes that lose most, and what is known of each."""
    made = _table("class", "val images", "recall now", "with 2×", "taken for")
    for one in found.by_class[:TOP]:
        said = (f"{printable(other)}: {100 * p:.0f} %" for other, p in one.mistaken_for.items())
        then = _three(one.at_2x) if one.at_2x else "cannot say"
        row = printable(one.name), str(one.val_images), _three(one.now), then, ", ".join(said)
        made.add_row(*map(Text, row))
    of = f" of {printable(name)}" if name else ""
    title = f"Which classes to collect{of}: those that lose most, of {len(found.by_class)}"
    console.print(Text(title, style="bold"), made)
    if any(one.val_images < LEAST for one in found.by_class):
        few = f"with fewer than {LEAST} validation images nothing is said of a class's future"
        console.print(Text(few, style="dim"))
    console.print()


def _three(value: Mapping[str, float]) -> str:
    return f"{value['estimate']:.2f} ({value['low']:.2f}–{value['high']:.2f})"


def _table(first: str, *others: str) -> Table:
    made = Table(box=box.SIMPLE_HEAD, show_edge=False, padding=(0, 1, 0, 0))
    made.add_column(first)
    for name in others:
        made.add_column(name, justify="left" if name == "taken for" else "right")
    return made
