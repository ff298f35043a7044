"""The whole check: every file, every option, every preset under every strategy."""

import logging
import time
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass
from itertools import product
from pathlib import Path
from typing import Any

from hydra.core.override_parser.overrides_parser import OverridesParser
from hydra.core.override_parser.types import Glob
from rich.console import Console

from regraft.searchpath import SHIPPED, Entry, entries, files, options, read
from regraft.validate.files import HEADER, Fault, faults, keys, misplaced
from regraft.validate.tree import Tree


@dataclass(frozen=True)
class Findings:
    """What was looked at, and all that is wrong with it."""

    faults: list[Fault]
    options: int
    of_teams: int
    groups: int
    pairs: int  # of preset and strategy


def validate(searched: Sequence[Entry]) -> Findings:
    """Look at every option that can be chosen from these entries."""
    tree = Tree(searched)
    overlays = overlay_groups()
    found: dict[Fault, None] = {}  # in a dictionary, as many jobs meet the same

    def note(wrong: Iterable[Fault]) -> None:
        found.update(dict.fromkeys(wrong))

    for entry in searched:
        if entry.name != SHIPPED:
            note(misplaced(entry.folder, _shipped_groups()))
        for name, file in files(entry.folder):
            note(faults(file, name, overlays))
    broken = {fault.file for fault in found}
    whole = [option for option in tree.options if option.file not in broken]
    note(tree.look().faults)
    jobs = {(o.group, o.name): tree.look(f"{o.group}={o.name}") for o in whole}
    for job in jobs.values():
        note(job.faults)
    strategies = {name: job.settings for (group, name), job in jobs.items() if group == "strategy"}
    owned = _what_differs(strategies.values())
    for option in whole:
        if option.group == "strategy":
            owned.update(key for key in keys(option.file) if not key.startswith("defaults"))
    pairs = list(product([name for group, name in jobs if group == "preset"], strategies))
    for preset, strategy in pairs:
        job = tree.look(f"preset={preset}", f"strategy={strategy}")
        note(job.faults)
        preset_file = tree.find(f"preset/{preset}")
        if preset_file and job.settings and strategies[strategy]:
            note(_taken_away(preset_file, owned, strategies[strategy], job.settings))
    for sweep in [name for group, name in jobs if group == "sweep"]:
        note(_faults_of_sweep(tree, f"sweep={sweep}"))
    return Findings(
        sorted(found),
        options=len(tree.options),
        of_teams=sum(option.entry != SHIPPED for option in tree.options),
        groups=len({option.group for option in tree.options}),
        pairs=len(pairs),
    )


def overlay_groups() -> set[str]:
    """The groups whose files set keys of other groups: what is shipped of them says so."""
    shipped = options(entries()[-1:])
    at_top = [o for o in shipped if o.file.read_text(encoding="utf-8").startswith(HEADER)]
    return {option.group for option in at_top}


def _shipped_groups() -> set[str]:
    return {option.group for option in options(entries()[-1:])}


def _faults_of_sweep(tree: Tree, word: str) -> Iterator[Fault]:
    """Of each value that a sweep's own file names, tried once."""
    try:
        params = tree.compose(word).hydra.sweeper.get("params") or {}
    except Exception:
        return  # it has been told of
    for key, values in params.items():
        override = OverridesParser.create().parse_override(f"{key}={values}")
        if isinstance(override.value(), Glob):
            continue
        swept = override.is_sweep_override() and override.is_discrete_sweep()
        for value in override.sweep_string_iterator() if swept else ():
            yield from tree.look(word, f"{key}={value}").faults


def _what_differs(jobs: Iterable[dict[str, Any]]) -> set[str]:
    """The dotted keys whose values are not the same in all of these settings."""
    flat = [dict(_flat(settings, "")) for settings in jobs if settings]
    keys_of_any = {key for leaves in flat for key in leaves}
    return {key for key in keys_of_any if len({repr(leaves.get(key)) for leaves in flat}) > 1}


def _taken_away(
    file: Path, owned: set[str], plain: dict[str, Any], under: dict[str, Any]
) -> Iterator[Fault]:
    """What a preset takes from a strategy: a sweep over strategies would train one thing several
    times. What differs between strategies, and what their files set, they own."""
    before, after = dict(_flat(plain, "")), dict(_flat(under, ""))
    for key in sorted(owned):
        line, name = _what_sets(file, key)
        chosen_by_strategies = name == key or f"{name}._target_" in owned
        if before.get(key) != after.get(key) and chosen_by_strategies:
            yield Fault(
                file,
                line,
                f"{name} belongs to the strategies: set here, a sweep over them would no longer "
                "compare them; leave it out, or make it a strategy",
            )


def _flat(node: Any, key: str) -> Iterator[tuple[str, Any]]:
    if isinstance(node, dict) and node:
        for name, inner in node.items():
            yield from _flat(inner, f"{key}.{name}" if key else str(name))
    else:
        yield key, node


def _what_sets(file: Path, key: str) -> tuple[int, str]:
    """The line of a preset that decides about a key, and what it says there."""
    there, group = keys(file), key.partition(".")[0]
    if key in there:
        return there[key], key
    for name, line in there.items():
        if name.rpartition(".")[2].removeprefix("override").strip(" /") == group:
            return line, group
    return 1, key


def show(console: Console, folder: str | None) -> int:
    """`regraft validate`: print what is wrong, a line each, and return the exit code.

    Raises RegraftError for a folder that is not there.
    """
    started = time.perf_counter()
    logging.getLogger("hydra").addHandler(logging.NullHandler())  # it would say things twice
    searched = entries(read(folder, "regraft validate") if folder else ())
    with console.status("composing every option"):
        found = validate(searched)
    for fault in found.faults:
        place = f"{_near(fault.file)}:{fault.line}"
        console.print(f"{place}: {fault.text}", markup=False, highlight=False, soft_wrap=True)
    wrong = len({fault.file for fault in found.faults})
    many = f"{_count(len(found.faults), 'error')} in {_count(wrong, 'file')}"
    console.print(
        f"{many if wrong else 'all right'}: {_count(found.options, 'option')} of "
        f"{_count(found.groups, 'group')}, {found.of_teams} not shipped; "
        f"{_count(found.pairs, 'pair')} of preset and strategy; "
        f"it took {time.perf_counter() - started:.0f} s",
        style="red" if wrong else "green",
        highlight=False,
        soft_wrap=True,
    )
    return 1 if wrong else 0


def _count(number: int, noun: str) -> str:
    return f"{number} {noun}{'' if number == 1 else 's'}"


def _near(file: Path) -> Path:
    here = Path.cwd()
    return file.relative_to(here) if file.is_relative_to(here) else file
