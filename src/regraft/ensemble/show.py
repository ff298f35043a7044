"""`regraft ensemble`: finished runs combined, from what they have predicted."""

from collections.abc import Mapping, Sequence
from dataclasses import replace
from pathlib import Path

from rich import box
from rich.console import Console
from rich.table import Table
from rich.text import Text

from regraft.ensemble import files, words
from regraft.ensemble.choose import Ensemble, combine
from regraft.ensemble.members import gather
from regraft.errors import RegraftError
from regraft.paths import SWEEP, shown

MOST, SHORT = 20, 8  # runs, and columns about them, in the terminal


def show(
    folders: Sequence[Path],
    console: Console,
    *,
    where: Mapping[str, str],
    method: str,
    out: Path | None,
    soup: bool,
    as_json: bool,
) -> None:
    """Combine the runs, write the folder `ensemble`, and print what it says; with `soup`, average
    their weights as well, and write the folder `soup`."""
    home = home_of(folders, out)
    made = combine(gather(folders, where), method)
    served = None
    if soup:
        from regraft.ensemble import kitchen  # torch and Lightning take seconds to import

        served = kitchen.serve(made.members, home, Console(stderr=True))
        made = replace(made, soup=served.combination)
    folder = files.write(made, home)
    if as_json:
        print((folder / files.JSON).read_text(encoding="utf-8"), end="")
        return
    print_to(console, made)
    names = ", ".join(sorted(path.name for path in folder.iterdir()))
    console.print(Text(f"{names} in {shown(folder)}"), soft_wrap=True)
    if served and served.folder:
        console.print(Text(f"a run of its own: {shown(served.folder)}"), soft_wrap=True)


def home_of(folders: Sequence[Path], out: Path | None) -> Path:
    """Where the folder of the ensemble goes: into the sweep, or where one says.

    Raises RegraftError for runs of several places without a word about it.
    """
    if out is not None:
        return out
    if len(folders) == 1:
        return folders[0]
    parents = {folder.absolute().parent for folder in folders}
    if len(parents) == 1 and ((parent := parents.pop()) / SWEEP).exists():
        return parent
    raise RegraftError(
        f"{len(folders)} folders that are not the jobs of one sweep: add --out FOLDER, into which "
        f"{files.FOLDER}/ is written"
    )


def print_to(console: Console, made: Ensemble) -> None:
    """Print what was combined, tried and chosen, and who contributes."""
    console.print(Text(f"{words.about(made)}."))
    for line in words.left_out(made):
        console.print(Text(line, style="red"))
    console.print()
    console.print(_table(words.TRIED, words.tried(made)))
    console.print(Text("* chosen on the validation images\n", style="dim"))
    rows = words.used(made)
    rows = [row for index, row in enumerate(rows) if index in made.chosen.used]
    console.print(_table(words.USED[:SHORT], rows[:MOST]))
    unused = len(made.members.runs) - len(rows)
    parts = [f"{len(rows) - MOST} more"] * (len(rows) > MOST)
    parts += [f"{unused} without weight"] * (unused > 0)
    if parts:
        console.print(Text(f"{' and '.join(parts)}: see {files.MARKDOWN}", style="dim"))
    console.print()
    first, *others = words.verdict(made)
    console.print(Text(first, style="bold"))
    for line in others:
        console.print(Text(line))


def _table(head: Sequence[str], rows: Sequence[Sequence[str]]) -> Table:
    made = Table(box=box.SIMPLE_HEAD, show_edge=False, padding=(0, 1, 0, 0))
    for name in head:
        text = name in ("combination", "run", "settings")
        fold = name in ("run", "settings")
        made.add_column(
            name, justify="left" if text else "right", no_wrap=not fold, overflow="fold"
        )
    for row in rows:
        made.add_row(*map(Text, row[: len(head)]))
    return made
