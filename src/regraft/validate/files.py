"""What one file of YAML shows by itself: where its keys stand, and what Hydra would pass over."""

import re
from collections.abc import Collection, Iterator
from dataclasses import dataclass
from pathlib import Path

import yaml
from omegaconf import OmegaConf
from omegaconf.errors import OmegaConfBaseException

from regraft import provenance
from regraft.errors import did_you_mean

HEADER = "# @package _global_"


@dataclass(frozen=True, order=True)
class Fault:
    """Something wrong, and the line that it stands in, counted from 1."""

    file: Path
    line: int
    text: str


def keys(file: Path) -> dict[str, int]:
    """Every key of a file, dotted, and its line; an entry of a list has its number for a name.

    None of a file that cannot be read, which is a fault by itself.
    """
    return {entry.key: entry.line for entry in provenance.entries(file) if entry.key}


def faults(file: Path, config: str, overlays: Collection[str]) -> Iterator[Fault]:
    """What is wrong with the file of `head/mlp`, whatever it is composed with.

    `overlays` are the groups whose files set keys of other groups.
    """
    try:
        text = file.read_text(encoding="utf-8")
        content = OmegaConf.create(text) if text.strip() else OmegaConf.create()
    except UnicodeDecodeError as error:
        yield Fault(file, 1, f"no UTF-8 text: {error.reason} at byte {error.start}")
    except yaml.MarkedYAMLError as error:
        mark = error.problem_mark or error.context_mark
        words = ", ".join(filter(None, (error.context, error.problem)))
        yield Fault(file, mark.line + 1 if mark else 1, f"no YAML: {words}")
    except yaml.reader.ReaderError as error:
        line = text.count("\n", 0, error.position) + 1
        yield Fault(file, line, f"no YAML: {error.reason}")
    except (yaml.YAMLError, OmegaConfBaseException) as error:
        where = keys(file).get(str(getattr(error, "full_key", "")), 1)
        yield Fault(file, where, str(error).splitlines()[0])
    else:
        if not OmegaConf.is_dict(content):
            yield Fault(file, 1, "must hold keys and values, `key: value`")
            return
        group = config.rpartition("/")[0]
        yield from _header(file, text, overlay=group in overlays)
        yield from _what_comes_too_late(file, group, overlay=group in overlays)


def _header(file: Path, text: str, *, overlay: bool) -> Iterator[Fault]:
    lines = text.splitlines()
    start = next((n for n, line in enumerate(lines, 1) if line.strip()), 1)
    headers = [n for n, line in enumerate(lines, 1) if re.match(r"\s*#\s*@package", line)]
    for late in headers:
        if late > start:
            yield Fault(file, late, "Hydra reads @package on the first line only; move it there")
    if overlay and not headers and len(lines) >= start:
        yield Fault(
            file,
            1,
            f"the first line must be '{HEADER}': without it, all of this lands under "
            f"{file.parent.name} and nothing reads it",
        )


def _what_comes_too_late(file: Path, group: str, *, overlay: bool) -> Iterator[Fault]:
    for key, line in keys(file).items():
        name = key.rpartition(".")[2].removeprefix("override ").lstrip("/")
        if key == "hydra.mode":
            text = "hydra.mode: Hydra has decided before it reads this; type -m for a sweep"
            yield Fault(file, line, text)
        launcher = key == "hydra.launcher" or name == "hydra/launcher"
        # A sweep's own file is read before the launcher is made; what is swept over is not.
        if overlay and launcher and group != "sweep":
            yield Fault(
                file,
                line,
                "a launcher comes too late here, where a sweep may choose it; "
                "choose it on the command line, hydra/launcher=<option>, or in a sweep's file",
            )


def misplaced(folder: Path, groups: Collection[str]) -> Iterator[Fault]:
    """Files in a team's folder that Hydra never looks at."""
    for file in sorted(folder.rglob("*.yml")):
        yield Fault(file, 1, "Hydra reads only what ends in .yaml; rename it")
    known = {name.partition("/")[0] for name in groups} | {"hydra"}
    for inner in sorted(path for path in folder.iterdir() if path.is_dir()):
        yaml_files = sorted(inner.rglob("*.yaml"))
        if inner.name not in known and yaml_files:
            hint = did_you_mean(inner.name, known) or f"; there are {', '.join(sorted(known))}"
            yield Fault(yaml_files[0], 1, f"{inner.name}: no such group{hint}")
