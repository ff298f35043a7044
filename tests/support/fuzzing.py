"""Random command lines, valid and broken, and what the program says to them.

Each line goes through the door of the command line, `launch.train`, in this process. Most stop
where the computing would begin; some are trained, on few images. Nothing is fetched: options that
would need a network are not drawn.
"""

import contextlib
import io
import re
import shutil
import signal
import time
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from random import Random
from typing import Any
from unittest import mock

from in_process import as_new
from omegaconf import DictConfig, OmegaConf

from regraft import launch
from regraft.paths import conf_folder

CPU_S, WALL_S = 60, 300  # others may use the same cores
# Few images and steps, unless the drawn words say otherwise.
FEW = ("debug=fast", "data.per_class=3", "logger=none")
# The data that need no network, and presets of few images.
QUICK = {
    "data": {"digits", "fractals", "image_folder", "manifest"},
    "preset": {"birds", "emotions"},
}
# Words of a library or of Python that tell a user nothing.
INTERNAL = re.compile(
    r"Traceback|debug=on shows where|NoneType|DictConfig|ListConfig|object has no attribute|"
    r"full_key|object_type|Error merging|<class|pydantic|Input should|omegaconf|AnyNode|"
    r"\w+Error\b|positional argument|unhashable|In 'config'|'\w+Conf'|viable alternative"
)
BAD_VALUES = (
    "", "null", "???", "-1", "0", "1e999", "nan", "-inf", "99999999999999999999", "1.5", "abc",
    "true", "[]", "[1,2]", "{a:1}", "{}", "''", "' '", "''x", "ü", "'日本'", "${seed}", "${nope}",
    "${oc.env:HOME}", "${optimizer.lrr}", "${", "$", "a b", "'a", "a'", "[1", "{a", "1,2", "1,",
    "choice(1,2)", "range(3)", "interval(0,1)", "glob(*)", "sort(1,2)", "x" * 300, "../x", "/",
    "~", "a=b", "1e-3", "0x10", "1_000", "'1'", "!!python/object:os.system", "\\", "%", "\t", "\n",
)  # fmt: skip
FLAGS = (
    "-m", "--multirun", "--cfg", "--cfg=job", "--cfg=jobs", "--resolve", "--info", "--info=x",
    "--info=defaults-tree", "--package=optimizer", "--config-name=nope", "--config-dir=nope", "-h",
    "--version", "--lr", "--hydra-help", "-x", "--seed=1", "--config-name=config", "--run", "--",
)  # fmt: skip
HYDRAS = (
    "hydra.run.dir=", "hydra.run.dir=null", "hydra.run.dir=3", "hydra.job.name=x", "hydra.nope=1",
    "hydra/launcher=nope", "hydra/launcher=basic", "hydra.verbose=maybe", "hydra.verbose=true",
    "hydra.mode=MULTI", "hydra.job.chdir=maybe", "hydra.sweeper.params=3", "hydra.callbacks=null",
    "hydra.searchpath=nope", "hydra.searchpath=[nope]", "hydra.output_subdir=null", "hydra=null",
    "hydra.launcher.n_jobs=2", "hydra.sweep.dir=null", "hydra.job_logging=null", "hydra=1",
    "hydra.callbacks.sweep=null", "hydra/sweeper=optuna", "hydra.sweep.subdir=x", "hydra.job.num=3",
    "hydra.sweeper.params={seed:'0,1'}", "~hydra.callbacks", "hydra.runtime.output_dir=x",
)  # fmt: skip


class Begun(Exception):  # noqa: N818 (nothing is wrong)
    """Raised where the computing would begin."""


class Hang(BaseException):
    """Raised when a line takes too long; no `except Exception` is in its way."""


@dataclass(frozen=True)
class Answer:
    """What a command line ended in."""

    words: tuple[str, ...]
    kind: str  # "ran", "begun", "refused", or what is wrong: "finding", "hang"
    line: str  # what was said
    seconds: float  # of computing


def leaves() -> dict[str, Any]:
    """The dotted keys of the shipped options, each with a value that it has somewhere."""
    found: dict[str, Any] = {}

    def walk(node: DictConfig, prefix: str) -> None:
        for key in map(str, node):
            child = node._get_node(key)
            if key in ("defaults", "hydra", "_target_"):
                continue
            if isinstance(child, DictConfig) and not child._is_none():
                walk(child, f"{prefix}{key}.")
            else:
                found[f"{prefix}{key}"] = OmegaConf.to_container(node, resolve=False)[key]

    for path in sorted(conf_folder().rglob("*.yaml")):
        group = path.parent.relative_to(conf_folder()).as_posix()
        if group.startswith("hydra"):
            continue
        at_top = group == "." or path.read_text().startswith("# @package _global_")
        walk(OmegaConf.load(path), "" if at_top else f"{group}.")
    return found


def options() -> dict[str, list[str]]:
    """The options of each group that need neither a network nor minutes."""
    found: dict[str, list[str]] = {}
    for path in sorted(conf_folder().glob("*/*.yaml")):
        group = path.parent.name
        if path.stem in QUICK.get(group, {path.stem}):
            found.setdefault(group, []).append(path.stem)
    return found


KEYS, OPTIONS = leaves(), options()
SMALL = [group for group in OPTIONS if group not in ("backbone", "quadrant", "preset", "sweep")]


def draw(seed: int, number: int) -> tuple[list[str], bool]:
    """A command line, and whether it may be trained: quick by what it consists of."""
    random = Random(f"{seed}-{number}")
    small = random.random() < 0.15
    words = [option(random, SMALL if small else list(OPTIONS)) for _ in range(random.randint(0, 3))]
    if not small:
        words += [setting(random) for _ in range(random.randint(0, 2))]
        if random.random() < 0.75:
            words = broken(random, words)
    random.shuffle(words)
    return [*FEW, *words], small


def option(random: Random, groups: list[str]) -> str:
    group = random.choice(groups)
    return f"{group}={random.choice(OPTIONS[group])}"


def setting(random: Random) -> str:
    """A key with a value like its own."""
    key = random.choice(sorted(KEYS))
    value = KEYS[key]
    if isinstance(value, bool):
        value = random.choice(["true", "false"])
    elif isinstance(value, int | float):
        value = random.choice([value, value * 2, value + 1, value / 2, -value, 0, 1])
    elif value is None:
        value = "null"
    elif isinstance(value, list):
        value = "[" + ",".join(map(str, value)) + "]"
    return f"{key}={value}"


def broken(random: Random, words: list[str]) -> list[str]:
    """The words with one more that is likely to be wrong, or with one of them made wrong."""
    key, group = random.choice(sorted(KEYS)), random.choice(sorted(OPTIONS))
    known = option(random, sorted(OPTIONS))
    bad = random.choice(BAD_VALUES)
    more = [
        f"{group}={misspelt(random, random.choice(OPTIONS[group]))}",
        f"{misspelt(random, key)}={KEYS[key]}",
        f"{misspelt(random, known)}",
        f"{key}={bad}",
        f"{key}={bad}",
        f"{key}={bad}",
        f"{group}={bad}",
        f"{random.choice(['+', '++', '~'])}{key}={bad}",
        f"{random.choice(['+', '++', '~'])}{known}",
        f"{random.choice(['~', '+', ''])}{random.choice([key, group])}",
        f"{group}@{random.choice(['x', '_global_', 'optimizer'])}={random.choice(OPTIONS[group])}",
        f"{key}={KEYS[key]},{bad}",
        f"{group}={','.join(OPTIONS[group][:2])}",
        f"{key}.{random.choice(['x', '0'])}={bad}",
        f"{random.choice(['data.root', 'data.path', 'backbone.weights'])}=/nowhere",
        random.choice(HYDRAS),
        random.choice(FLAGS),
        random.choice(BAD_VALUES),
        f"{bad}={bad}",
    ]
    return [*words, random.choice(more), *(["-m"] if random.random() < 0.1 else [])]


def misspelt(random: Random, word: str) -> str:
    at = random.randrange(len(word))
    letter = random.choice("abeiortx_.")
    return random.choice(
        [word[:at] + word[at + 1 :], word[:at] + letter + word[at:], word[:at] + letter, word[::-1]]
    )


def ask(words: list[str], folder: Path, *, train: bool) -> Answer:
    """What the program says to these words, in a folder of its own that is emptied before."""
    shutil.rmtree(folder, ignore_errors=True)
    folder.mkdir(parents=True)
    out, err = io.StringIO(), io.StringIO()
    started, code = time.process_time(), None
    with as_new(folder), contextlib.redirect_stdout(out), contextlib.redirect_stderr(err):
        stop = contextlib.nullcontext() if train else _stopping()
        try:
            with _limit(), stop:
                launch.train(words)
        except SystemExit as end:
            code = end.code
        except Hang:
            code = "hang"
        except BaseException as error:
            err.write(f"Traceback: {type(error).__name__}: {error}")
    seconds = time.process_time() - started
    said = err.getvalue().strip()
    if {"debug=on", "hydra.verbose=true"} & {*words}:  # ask for more; the one line comes last
        said, out = said.rpartition("\n")[2], io.StringIO()
    jobs = 1 if not {"-m", "--multirun"} & {*words} else 99  # each has a line of its own
    return Answer(tuple(words), *_judged(code, out.getvalue(), said, jobs), seconds)


def _judged(code: object, out: str, err: str, jobs: int = 1) -> tuple[str, str]:
    lines = [line for line in err.splitlines() if not line.startswith("WARNING: ")]
    errors = list(dict.fromkeys(line for line in lines if line.startswith("error: ")))
    text = " | ".join(lines)
    if code == "hang":
        return "hang", text
    if "Traceback" in out + err:
        return "finding", text
    if code == 0:
        return ("finding" if lines else "ran"), text
    if errors and all("Begun" in line for line in errors):
        return "begun", ""
    wrong = "".join(line for line in lines if "Begun" not in line)
    other = any(not line.startswith("error: ") for line in lines)
    if code != 1 or other or not 0 < len(lines) <= jobs or INTERNAL.search(wrong):
        return "finding", f"exit code {code}: {text}"
    return "refused", text


@contextlib.contextmanager
def _limit() -> Iterator[None]:
    def late(*_: Any) -> None:
        raise Hang

    timers = (
        (signal.ITIMER_PROF, signal.SIGPROF, CPU_S),
        (signal.ITIMER_REAL, signal.SIGALRM, WALL_S),
    )
    before = [signal.signal(number, late) for _, number, _ in timers]
    for timer, _, seconds in timers:
        signal.setitimer(timer, seconds)
    try:
        yield
    finally:
        for (timer, number, _), handler in zip(timers, before, strict=True):
            signal.setitimer(timer, 0)
            signal.signal(number, handler)


def _stopping() -> contextlib.AbstractContextManager[Any]:
    return mock.patch("regraft.features.compute", side_effect=Begun)
