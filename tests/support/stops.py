"""Jobs that are stopped at a given step in this process, and go on.

Real signals to real processes are in cli/test_resume.py; here nothing is started.
"""

import json
import signal
import warnings
from collections.abc import Iterator
from contextlib import contextmanager

import pytest
import torch
from alike import alike
from jobs import run_job
from runs import TINY

from regraft.classifier import Classifier

SMALL = (*TINY, "trainer.max_epochs=3")  # three batches in each epoch
WAYS = {
    "features": [],
    "augmented": ["strategy=finetune", "augment=light", "balance=sampler"],
    "mixed": ["strategy=scratch", "augment=mixup"],
    "views": ["augment=light", "features.views=3"],
    "gradual": ["strategy=gradual"],  # begins with the last stage at step 2, with the stem at 7
    "lp_ft": ["strategy=lp_ft"],  # trains the trunk from step 4 on
    "average": ["strategy=finetune", "callbacks=ema"],
    "average of a head": ["callbacks=ema"],
    "early": [  # stops before the six epochs are over, as next to nothing is learned
        *("callbacks=early_stopping", "callbacks.early_stopping.patience=2"),
        *("optimizer.lr=1e-6", "trainer.max_epochs=6"),
    ],
    "plateau": ["scheduler=plateau", "scheduler.patience=0", "optimizer.lr=1e-5"],
    "partial": ["strategy=partial"],
    "accumulated": ["trainer.accumulate_grad_batches=2", "optimizer=sgd"],
}


class Killed(BaseException):
    """As good as a SIGKILL: nobody catches it."""


def result(folder):
    return json.loads((folder / "result.json").read_text())


def at(monkeypatch, step, happens, where="training_step"):
    """Something happens in the run's n-th batch, once."""
    before, count = getattr(Classifier, where), iter(range(10**6))

    def counted(*args):
        if next(count) == step:
            happens()
        return before(*args)

    monkeypatch.setattr(Classifier, where, counted)


def kill():
    raise Killed


def ctrl_c():
    signal.raise_signal(signal.SIGINT)


def go_on(folder, *words):
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        return run_job(folder, *words, "resume=auto")


def same(one, other):
    """Nothing that was learned, measured or written of the training differs."""
    results = [result(folder) for folder in (one, other)]
    for key in ("status", "metrics", "best_epoch", "checkpoint", "forecast", "plan"):
        assert results[0][key] == results[1][key], key
    for name in ("metrics.csv", "predictions.csv"):
        assert (one / name).read_bytes() == (other / name).read_bytes(), name
    for name in ("best.ckpt", "last.ckpt"):
        a, b = (torch.load(f / "checkpoints" / name, weights_only=True) for f in (one, other))
        for part in ("state_dict", "current_model_state", "optimizer_states"):
            assert alike(a.get(part), b.get(part)), (name, part)
        for part in ("start", "streams"):
            assert alike(a.get("resume", {}).get(part), b.get("resume", {}).get(part)), part


def start_of(folder):
    """Epoch and batch at which its last checkpoint goes on."""
    last = torch.load(folder / "checkpoints/last.ckpt", weights_only=True)
    return last["resume"]["start"]


def stopped(folder, monkeypatch, *words, step=5, happens=kill, where="training_step"):
    """A run's folder after that has happened in it."""
    with monkeypatch.context() as patch, pytest.raises((Killed, KeyboardInterrupt)):
        at(patch, step, happens, where)
        run_job(folder, *words)
    return folder


@contextmanager
def untaken_signals() -> Iterator[None]:
    """As in a new process: whoever ran before in this one may have taken them."""
    free = {signal.SIGINT: signal.default_int_handler, signal.SIGTERM: signal.SIG_DFL}
    before = {number: signal.signal(number, handler) for number, handler in free.items()}
    try:
        yield
    finally:
        for number, handler in before.items():
            signal.signal(number, handler)
