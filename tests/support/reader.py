"""A reader of the documentation: checks what a page says to type, or types it, in an own folder."""

import os
import subprocess
import sys
import tomllib
from collections.abc import Iterable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from functools import cache, lru_cache
from itertools import combinations
from pathlib import Path
from typing import Any

import pages
import pytest
import standins
import typer
from hydra.core.hydra_config import HydraConfig
from hydra.core.override_parser.overrides_parser import OverridesParser
from hydra.core.utils import setup_globals
from in_process import as_new
from omegaconf import DictConfig, OmegaConf, open_dict
from pages import ROOT, Command

from regraft import cli, config, finalists, launch, searchpath, trust
from regraft.command import overrides_first
from regraft.complaints import explain
from regraft.hydra_internals import get_args_parser
from regraft.validate.check import overlay_groups
from regraft.validate.tree import Tree

TRAINS = {"train", "doctor", "advise"}  # these commands take the words of a training
TEAM = "/team/conf"  # a folder on some disk, in the pages
EVERY_JOB = "REGRAFT_TEST_EVERY_JOB"  # compose also what is made of parts that are right


class Reader:
    """Somebody with a shell in an empty folder; the example of a team is installed and trusted."""

    def __init__(self, folder: Path) -> None:
        self.folder = folder
        self.exported = {trust.TRUST: "team_presets"}
        (folder / "team" / "conf").mkdir(parents=True)

    def wrong(self, command: Command) -> list[str]:
        """What is wrong with a command, without running more of it than what makes files."""
        if command.run and not command.is_ours:
            self.shell(command.text)
        found = [problem for call in pages.calls(command.text) for problem in self._wrong(call)]
        if not command.in_block:  # within a sentence, a command may be named without its words
            found = [problem for problem in found if not problem.startswith("Missing argument")]
        if command.error is None:
            return found
        if found in ([command.error], []):  # which is what the page says, or comes only later
            return []
        return [f"the page says {command.error!r}, not {problem!r}" for problem in found]

    def _wrong(self, call: pages.Call) -> Iterator[str]:
        with self._at_work(call.environment):
            try:
                if call.program == "python train.py":
                    yield from wrong_in_words(call.words)
                elif call.program == "regraft":
                    yield from wrong_in_command(call.words)
                elif call.program == "make":
                    goals = {word for word in call.words if "=" not in word}
                    yield from (f"make {goal}: no such goal" for goal in goals - _goals())
                elif call.program == "pip install":
                    yield from wrong_in_requirements(call.words)
                elif call.program == "export":
                    self._export(call.words)
            except cli.UsageError as error:
                yield error.format_message()
            except Exception as error:
                yield explain(error).partition(" Config search path:")[0]

    def run(self, command: Command, **placeholders: Path) -> int:
        """Type a command, with folders for what stands for the reader's own; the exit code."""
        text = command.text
        for name, path in placeholders.items():
            text = text.replace(f"<{name.replace('_', ' ')}>", str(path))
        for kind in ("runs", "sweeps"):
            if (pattern := f"outputs/{kind}/<date>/<time>") in text:
                newest = max(
                    self.folder.glob(f"outputs/{kind}/*/*"), key=lambda p: p.stat().st_ctime
                )
                text = text.replace(pattern, str(newest.relative_to(self.folder)))
        if not command.is_ours:
            return self.shell(text)
        for call in pages.calls(text):
            if call.program == "export":
                self._export(call.words)
                continue
            with self._at_work(call.environment):
                code = _run(call)
            if code:
                return code
        return 0

    def shell(self, text: str) -> int:
        """A command that is none of this project's, such as one that writes a file."""
        path = f"{Path(sys.executable).parent}:{os.environ['PATH']}"
        environment = os.environ | self.exported | {"PATH": path}
        return subprocess.run(
            ["bash", "-ec", text], cwd=self.folder, env=environment, timeout=60
        ).returncode

    def _export(self, words: Sequence[str]) -> None:
        self.exported.update(word.split("=", 1) for word in words)

    @contextmanager
    def _at_work(self, environment: Sequence[tuple[str, str]]) -> Iterator[None]:
        """This process as a new one in the folder would be, and afterwards as it was."""
        named = self.exported | dict(environment)
        known = {*sys.modules}
        with as_new(self.folder), pytest.MonkeyPatch.context() as patch:
            for name, value in named.items():
                patch.setenv(name, value.replace(TEAM, str(self.folder / "team" / "conf")))
            patch.syspath_prepend(str(ROOT / "examples" / "team-presets" / "src"))
            patch.syspath_prepend(str(self.folder))  # as train.py's own folder is
            trust.users.cache_clear()  # which now trusts what the pages say
            try:
                yield
            finally:
                for name in {*sys.modules} - known:  # what lies in the folder
                    if str(self.folder) in str(getattr(sys.modules[name], "__file__", "")):
                        del sys.modules[name]


def _run(call: pages.Call) -> int:
    try:
        if call.program == "python train.py":
            launch.train([*call.words])
        elif call.program == "regraft":
            sys.argv = ["regraft", *call.words]
            cli.main()
        else:
            raise AssertionError(f"{call.program} is not for a test to run")
    except SystemExit as end:
        return end.code if isinstance(end.code, int) else int(end.code is not None)
    return 0


def wrong_in_words(words: Sequence[str]) -> Iterator[str]:
    """What is wrong with the words of a training; of a sweep, each value is looked at once."""
    ordered = overrides_first(trust.from_words([*words]))
    given = get_args_parser().parse_args(ordered)
    finalists.register()
    searchpath.use(given.config_dir)
    tree = _tree()
    values = _values(given.overrides)
    own = _params(tree, *_job(values, 0))
    values = _values(f"{key}={own[key]}" for key in own) | values
    if not given.multirun and any(len(several) > 1 for several in values.values()):
        yield "several values, and no -m"
    for number in range(max(map(len, values.values()), default=1)):
        yield from _wrong_in_job(tree, _job(values, number))


@lru_cache
def _params(tree: Tree, *words: str) -> dict[str, Any]:
    """What these words sweep over besides: what a file says under hydra.sweeper.params."""
    files = (tree.find(word.replace("=", "/", 1)) for word in words)
    if not any(file and "params:" in file.read_text() for file in files):
        return {}
    return dict(tree.compose(*words).hydra.sweeper.get("params") or {})


# What has been found right, of each tree and whom one trusts: a job of which all parts have been
# right before is not composed once more. Composing takes a tenth of a second.
_right: dict[tuple[Any, ...], set[Any]] = {}


def _parts(tree: Tree, words: Sequence[str]) -> set[Any]:
    """What makes a job right or wrong: each word, the options, and each group by itself.

    A group is right or not by its option, by those that may set keys of other groups, and by the
    keys that are given; values of two groups have nothing to do with each other.
    """
    keys = [word.partition("=")[0] for word in words]
    options = {word for word, key in zip(words, keys, strict=True) if key in tree.groups}
    anywhere = {word for word in options if word.partition("=")[0] in _overlays()}
    groups = {key.partition(".")[0] for key in keys}
    found: set[Any] = {*words, *map(frozenset, combinations(options, 2))}
    for group in groups | {""}:
        own = {word for word in options if word.partition("=")[0] == group}
        below = {key for key in keys if key.startswith(f"{group}.")}
        found.add((group, frozenset(own | anywhere), frozenset(below)))
    return found


_overlays = cache(overlay_groups)  # which looks into every file


def _values(words: Iterable[str]) -> dict[str, list[str]]:
    """The key of each word, and the words that it stands for, of which a sweep has several."""
    found = {}
    for override in OverridesParser.create().parse_overrides([*words]):
        key = override.get_key_element()
        if override.is_sweep_override() and override.is_discrete_sweep():
            found[key] = [f"{key}={value}" for value in override.sweep_string_iterator()]
        elif override.is_sweep_override():
            ends = override.value()
            found[key] = [f"{key}={value}" for value in (ends.start, ends.end)]
        else:
            found[key] = [str(override.input_line)]
    return found


def _job(values: Mapping[str, Sequence[str]], number: int) -> list[str]:
    """The words of a job that has the value of this number of every key, if there are so many."""
    return [several[min(number, len(several) - 1)] for several in values.values()]


def _wrong_in_job(tree: Tree, words: Sequence[str]) -> Iterator[str]:
    right = _right.setdefault((tree, trust.users()), set())
    parts = _parts(tree, words)
    if EVERY_JOB in os.environ or not parts <= right:
        wrong = [*map(explain, config.problems(_settings(tree.compose(*words))))]
        right |= set() if wrong else parts
        yield from wrong


def _settings(cfg: DictConfig) -> DictConfig:
    """A job's own part of what was composed, as Hydra would hand it over."""
    setup_globals()  # the resolver `hydra:`
    with open_dict(cfg):
        cfg.hydra.runtime.output_dir, cfg.hydra.job.num = "outputs", 0
    HydraConfig.instance().set_config(cfg)
    return OmegaConf.masked_copy(cfg, [key for key in map(str, cfg) if key != "hydra"])


def _tree() -> Tree:
    searched = tuple(searchpath.entries())
    teams = [file for entry in searched[:-1] for file in searchpath.files(entry.folder)]
    return _read_once(searched, tuple(teams))


@lru_cache
def _read_once(searched: tuple[searchpath.Entry, ...], teams: tuple[Any, ...]) -> Tree:
    """The tree of these folders, of which the files of teams, which come and go, are `teams`."""
    return Tree(searched)


def wrong_in_command(words: Sequence[str]) -> Iterator[str]:
    """What is wrong with the words of `regraft`: commands, options, and those of a training."""
    command: Any = typer.main.get_command(cli.app)
    name, rest, context = "regraft", [*words], None
    while True:
        context = command.make_context(name, rest, parent=context)
        rest = [*getattr(context, "_protected_args", ()), *context.args]
        if not rest or not hasattr(command, "resolve_command"):
            break
        name, command, rest = command.resolve_command(context, rest)
    if name in TRAINS:
        yield from wrong_in_words(rest)


def wrong_in_requirements(words: Sequence[str]) -> Iterator[str]:
    """What is wrong with what `pip install` is to install, as far as it is in this repository."""
    project = tomllib.loads((ROOT / "pyproject.toml").read_text())["project"]
    for word in words:
        extra = word.partition("[")[2].rstrip("]")
        if word.startswith("regraft[") and extra not in project["optional-dependencies"]:
            yield f"{word}: no such extra"
        if word.startswith("./") and not (ROOT / word / "pyproject.toml").is_file():
            yield f"{word}: no such package"


def _goals() -> set[str]:
    lines = (ROOT / "Makefile").read_text().splitlines()
    return {line.partition(":")[0] for line in lines if ": " in line and line[0].islower()}


def pictures(folder: Path) -> Path:
    """The reader's own images: small photographs in a folder per class."""
    return standins.birds(folder, 12)
