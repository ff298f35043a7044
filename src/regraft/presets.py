"""What can be chosen: every option of every group, where it comes from and what it hides."""

from rich.console import Console
from rich.markup import escape
from rich.table import Table

from regraft.errors import RegraftError, did_you_mean
from regraft.searchpath import SHIPPED, Option, entries, options, read


def show(console: Console, group: str | None, config_dir: str | None) -> None:
    """Print the options of a group, or of all of them.

    Raises RegraftError for a group that there is not.
    """
    searched = entries(read(config_dir, "--config-dir") if config_dir else ())
    found = options(searched)
    groups = dict.fromkeys(option.group for option in found)
    if group is not None and group not in groups:
        hint = did_you_mean(group, groups) or f"; there are {', '.join(groups)}"
        raise RegraftError(f"{group}: no such group{hint}")
    if group is None:
        groups = dict.fromkeys(name for name in groups if not name.startswith("hydra/"))
    table = Table(box=None, pad_edge=False)
    table.add_column("group=option", no_wrap=True)
    table.add_column("from", min_width=7, max_width=27)
    table.add_column("what for")
    for name in [group] if group else groups:
        for option in found:
            if option.group == name:
                chosen, comes = f"{option.group}={option.name}", _from(option)
                table.add_row(*map(escape, (chosen, comes, option.what_for)))
    console.print(table, highlight=False)
    for entry in searched:
        if entry.name != SHIPPED or len(searched) > 1:
            console.print(f"{entry.name}: {entry.folder}", highlight=False, markup=False)


def _from(option: Option) -> str:
    hidden = [entry.name for entry in option.behind]
    return f"{option.entry}, hides that of {', '.join(hidden)}" if hidden else option.entry
