"""The program's own commands, in this process: what a shell would run, without the 10 s of a start.

Everything goes through the door that a person uses, `launch.train` and `cli.main`: the words are
parsed by Hydra and typer, an error is printed, the exit code is what the program ends with.
"""

import contextlib
import gc
import io
import logging
import os
import signal
import subprocess
import sys
import threading
import warnings
from collections.abc import Iterator
from pathlib import Path
from typing import TextIO
from unittest import mock

from hydra.core.global_hydra import GlobalHydra
from hydra.core.hydra_config import HydraConfig
from stripes import filled

from regraft import cli, facts, launch, masking, paths, searchpath, sweep, trust, worker

Done = subprocess.CompletedProcess[str]  # returncode, stdout and stderr, as of a process


def train(folder: Path, *words: str, **environment: str) -> Done:
    """`python train.py <words>`, typed in this folder; `{stripes}` is that of stripes.py."""
    return _ended(folder, ["regraft", "train", *map(filled, words)], environment)


def regraft(folder: Path, *words: str, **environment: str) -> Done:
    """`regraft <words>`, typed in this folder."""
    return _ended(folder, ["regraft", *words], environment)


def _point_at(stream: TextIO) -> None:
    """What libraries set up in an earlier run, they say here, as if it were a new process."""
    for logger in map(logging.getLogger, logging.root.manager.loggerDict):
        for handler in logger.handlers:
            if isinstance(handler, logging.StreamHandler) and handler.stream in _streams:
                handler.setStream(stream)
    _streams.append(stream)


_streams: list[TextIO] = []  # that commands of this process have written to


def _ended(folder: Path, argv: list[str], environment: dict[str, str]) -> Done:
    out, err = io.StringIO(), io.StringIO()
    code: object = 0
    with (
        as_new(folder),
        contextlib.redirect_stdout(out),
        contextlib.redirect_stderr(err),
    ):
        os.environ.update(environment)
        _point_at(sys.stderr)
        sys.argv = argv
        try:
            cli.main()
        except SystemExit as end:
            code = end.code
    returncode = code if isinstance(code, int) else int(code is not None)
    return Done(argv, returncode, out.getvalue(), err.getvalue())


@contextlib.contextmanager
def as_new(folder: Path) -> Iterator[None]:
    """The process as a new one in this folder would be, and afterwards as it was."""
    environment, where, argv, path = dict(os.environ), Path.cwd(), sys.argv, sys.path[:]
    main_spec = sys.modules["__main__"].__spec__
    os.chdir(folder)
    for name in ("HYDRA_FULL_ERROR", launch.TRACEBACK):
        os.environ.pop(name, None)
    os.environ.setdefault("WANDB_MODE", "offline")
    os.environ.update(HF_HUB_OFFLINE="1")
    _forget()
    try:
        with (
            warnings.catch_warnings(),
            _same_logging(),
            _same_signals(),
            _same_kernels(),
            mock.patch.object(worker, "is_possible", return_value=False),  # tests look on here
        ):
            warnings.resetwarnings()  # those of pytest make errors of warnings
            warnings.simplefilter("ignore", DeprecationWarning)
            yield
    finally:
        os.chdir(where)
        os.environ.clear()
        os.environ.update(environment)
        sys.argv, sys.path[:] = argv, path
        sys.modules["__main__"].__spec__ = main_spec
        _forget()
        gc.unfreeze()  # launch freezes what there is once in a process


def _forget() -> None:
    """What the modules remember of the command line before."""
    GlobalHydra.instance().clear()
    HydraConfig.instance().cfg = None
    launch._failed.clear()
    launch._experiment.cache_clear()  # which says how warnings are shown
    masking._of_the_environment.cache_clear()
    sweep.started.clear()
    sweep._held.close()
    trust.users.cache_clear()
    facts._given_up.clear()
    paths._said.clear()
    searchpath._for_this_call.clear()
    if weights := sys.modules.get("regraft.weights"):  # which imports torch
        weights._warn_of.cache_clear()


@contextlib.contextmanager
def _same_logging() -> Iterator[None]:
    """Hydra and Lightning set levels and handlers; all loggers get theirs back."""
    root, raised = logging.getLogger(), logging.raiseExceptions
    known = [root, *map(logging.getLogger, logging.root.manager.loggerDict)]
    before = [(one, one.level, one.handlers[:], one.propagate, one.disabled) for one in known]
    try:
        yield
    finally:
        logging.raiseExceptions = raised
        for one, level, handlers, propagate, disabled in before:
            for handler in {*one.handlers} - {*handlers}:
                with contextlib.suppress(OSError):  # as of a disk that is full
                    handler.close()
            one.handlers[:] = handlers
            one.propagate, one.disabled = propagate, disabled
            one.setLevel(level)


@contextlib.contextmanager
def _same_kernels() -> Iterator[None]:
    """A job asks torch for kernels that give the same result again; what comes after may not."""
    torch = sys.modules.get("torch")
    asked = torch and torch.are_deterministic_algorithms_enabled()
    warned = torch and torch.is_deterministic_algorithms_warn_only_enabled()
    try:
        yield
    finally:
        if torch := sys.modules.get("torch"):
            torch.use_deterministic_algorithms(bool(asked), warn_only=bool(warned))


@contextlib.contextmanager
def _same_signals() -> Iterator[None]:
    """What a stopped or killed training does is decided anew by the next one."""
    if threading.current_thread() is not threading.main_thread():
        yield
        return
    numbers = (signal.SIGINT, signal.SIGTERM)
    before = [signal.getsignal(number) for number in numbers]
    try:
        yield
    finally:
        for number, handler in zip(numbers, before, strict=True):
            signal.signal(number, handler)
