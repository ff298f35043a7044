"""Mutants: small patches to the engine that break what a user would feel; each must be caught.

`make mutants` applies each patch of tests/nightly/mutants to a copy of the repository, runs the
tests that its head names, which are all in `make test`, and writes the table of who caught it.
`make mutants ARGS="stage-decay holm"` tries those with such a word in their name.
"""

import multiprocessing
import os
import re
import shutil
import signal
import subprocess
import sys
import tempfile
from collections.abc import Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager, suppress
from dataclasses import dataclass
from functools import cache
from pathlib import Path
from typing import Any

REPOSITORY = Path(__file__).parents[2]
FOLDER = REPOSITORY / "tests" / "nightly" / "mutants"
EVERY_DAY = ("tests/unit/", "tests/jobs/", "tests/cli/")  # what `make test` runs
TIMEOUT_S = 300
# What the tests and the engine import, but not the engine, of which each process has its own.
LIBRARIES = (
    *("torch", "torchvision.transforms.v2", "pytorch_lightning", "torchmetrics", "timm", "wandb"),
    *("sklearn.linear_model", "scipy.stats", "matplotlib.figure", "pandas", "hydra", "pydantic"),
)
_FAILED = re.compile(r"^(?:FAILED|ERROR) (.+?)(?: - .*)?$", re.MULTILINE)


@dataclass(frozen=True)
class Mutant:
    """A patch: what it breaks, in one sentence, and the tests that cover it."""

    path: Path
    breaks: str
    tests: tuple[str, ...]

    @property
    def name(self) -> str:
        return self.path.stem


def mutants() -> list[Mutant]:
    return [read(path) for path in sorted(FOLDER.glob("*.patch"))]


def read(path: Path) -> Mutant:
    """A patch with its head; raises ValueError for one without."""
    head = path.read_text().partition("\n--- ")[0]
    found = dict(re.findall(r"^(Breaks|Tests): (.+)$", head, re.MULTILINE))
    if found.keys() != {"Breaks", "Tests"}:
        raise ValueError(f"{path.name}: begins with 'Breaks: <what>' and 'Tests: <which>'")
    return Mutant(path, found["Breaks"], tuple(found["Tests"].split()))


def caught_by(mutant: Mutant) -> str | None:
    """The first test that fails with the patch applied; None if the mutant survives.

    Raises RuntimeError for a patch that does not apply, if no test ran, and for tests that had not
    ended after TIMEOUT_S seconds: nobody has failed then.
    """
    with patched(mutant) as folder:
        said = folder / "pytest.txt"
        process = _prepared().Process(target=_test, args=(folder, mutant.tests, said))
        process.start()
        _running.add(process)
        process.join(TIMEOUT_S)
        _running.remove(process)
        if process.is_alive():
            end(process)
            raise RuntimeError(f"{mutant.name}: still running after {TIMEOUT_S} s")
        text = said.read_text() if said.exists() else ""
    if process.exitcode == 0:
        return None
    failed = _FAILED.search(text)
    if process.exitcode != 1 or failed is None:  # 1: tests were run, and some failed
        raise RuntimeError(f"{mutant.name}: pytest could not run ({process.exitcode})\n{text}")
    return failed[1]


_running: set[Any] = set()


def end(process: Any) -> None:
    """Kill the process of some tests, and what they have started."""
    with suppress(ProcessLookupError):
        os.killpg(process.pid, signal.SIGKILL)
    process.join()


@cache
def _prepared() -> Any:
    """Processes that begin with all libraries imported, which takes most of a short test run."""
    context = multiprocessing.get_context("forkserver")
    context.set_forkserver_preload(list(LIBRARIES))
    return context


def _test(folder: Path, tests: Sequence[str], said: Path) -> None:
    """Run tests in a copy of the repository, as `python -m pytest` there would."""
    os.setsid()
    out = os.open(said, os.O_WRONLY | os.O_CREAT)
    os.dup2(out, 1)
    os.dup2(out, 2)
    os.chdir(folder)
    for shared in ("REGRAFT_TEST_RUNS", "REGRAFT_CACHE"):  # what a mutant makes is nobody else's
        os.environ.pop(shared, None)
    os.environ["PYTHONPATH"] = f"{folder}/src"  # for processes that the tests start
    tempfile.tempdir = os.environ["TMPDIR"] = str(folder / "tmp")
    sys.path[:0] = [f"{folder}/src", str(folder)]
    sys.argv = ["pytest"]

    import pytest

    # The libraries are imported already, which pytest warns of for its plugins among them.
    known = ["-W", "ignore::pytest.PytestAssertRewriteWarning"]
    sys.exit(pytest.main(["-x", "-q", "-n", "0", "-p", "no:cacheprovider", *known, *tests]))


@contextmanager
def patched(mutant: Mutant) -> Iterator[Path]:
    """A copy of the repository with the patch applied."""
    folder = Path(tempfile.mkdtemp(prefix="regraft-mutant-"))
    try:
        listed = _git("ls-files", "-co", "--exclude-standard", "-z", of=REPOSITORY)
        for name in filter(None, listed.split("\0")):
            if (REPOSITORY / name).is_file():
                (folder / name).parent.mkdir(parents=True, exist_ok=True)
                shutil.copy2(REPOSITORY / name, folder / name)
        (folder / "tmp").mkdir()
        _git("init", "-q", of=folder)  # so that git apply looks at this folder alone
        try:
            _git("apply", str(mutant.path), of=folder)
        except subprocess.CalledProcessError as error:
            raise RuntimeError(f"{mutant.name} does not apply: {error.stderr}") from error
        yield folder
    finally:
        shutil.rmtree(folder, ignore_errors=True)


def _git(*words: str, of: Path) -> str:
    return subprocess.run(
        ["git", *words], cwd=of, capture_output=True, text=True, check=True
    ).stdout


def table(found: Sequence[tuple[Mutant, str | None]]) -> str:
    """A row for each mutant: what it breaks, and the test that caught it."""
    caught = sum(test is not None for _, test in found)
    lines = [
        "# Mutants",
        "",
        "Each small patch breaks one thing that a user would feel, and a test",
    ]
    lines[-1] += f" of `make test` catches it: {caught} of {len(found)}. Written by `make mutants`."
    lines += ["", "A patch begins with two lines, `Breaks: <what a user would feel>` and"]
    lines[-1] += " `Tests: <files or tests that see it>`; its name says what it breaks."
    lines += ["", "| patch | what it breaks | caught by |", "|---|---|---|"]
    for mutant, test in found:
        by = f"`{test.removeprefix('tests/')}`" if test else "**nobody**"
        lines.append(f"| `{mutant.name}` | {mutant.breaks} | {by.replace('|', chr(92) + '|')} |")
    return "\n".join(lines) + "\n"


def main(words: Sequence[str]) -> int:
    """Try all mutants, or those whose names hold one of the words; 0 if all are caught."""
    chosen = [one for one in mutants() if not words or any(word in one.name for word in words)]
    if not chosen:
        print(f"no mutant has {' or '.join(words)} in its name; they are in {FOLDER}")
        return 2
    with ThreadPoolExecutor(int(os.environ.get("JOBS", 2))) as pool:
        try:
            found = list(zip(chosen, pool.map(_tried, chosen), strict=True))
        except KeyboardInterrupt:
            pool.shutdown(wait=False, cancel_futures=True)
            for process in [*_running]:  # which have a session of their own
                end(process)
            raise
    if not words:
        (FOLDER / "README.md").write_text(table(found))
    missed = [mutant.name for mutant, test in found if test is None]
    print(f"{len(found) - len(missed)} of {len(found)} are caught", *missed)
    return int(bool(missed))


def _tried(mutant: Mutant) -> str | None:
    """The same as `caught_by`, said as soon as it is known; what could not run is not caught."""
    try:
        test = caught_by(mutant)
        print(f"{mutant.name}: {test or 'SURVIVES'}", flush=True)
    except RuntimeError as error:
        print(f"{mutant.name}: {error}", flush=True)
        return None
    return test


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
