"""A job that was stopped and goes on ends where one ends that was never stopped, to the bit."""

import json
import signal
import warnings

import pytest
import torch
from jobs import run_job

from regraft.classifier import Classifier

SMALL = ["data.per_class=6", "loader.batch_size=16", "trainer.max_epochs=4", "logger=none"]
WAYS = {
    "features": ["data.per_class=12"],
    "augmented": ["strategy=finetune", "augment=light", "balance=sampler", "data.per_class=3"],
    "mixed": ["strategy=scratch", "augment=mixup", "data.per_class=3"],
    "views": ["augment=light", "features.views=3", "data.per_class=12"],
    "gradual": ["strategy=gradual", "data.per_class=3"],
    "lp_ft": ["strategy=lp_ft", "data.per_class=3"],
    "average": ["strategy=finetune", "callbacks=ema", "data.per_class=3"],
    "average of a head": ["callbacks=ema"],
    "early": ["callbacks=early_stopping", "callbacks.early_stopping.patience=1", "seed=1"],
    "partial": ["strategy=partial", "data.per_class=3"],
    "accumulated": ["trainer.accumulate_grad_batches=2", "data.per_class=12", "optimizer=sgd"],
}
EPOCH = {"data.per_class=3": 2, "data.per_class=12": 8}  # batches


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


def alike(a, b):
    if isinstance(a, torch.Tensor):
        return a.dtype == b.dtype and torch.equal(a, b)
    if isinstance(a, dict):
        return a.keys() == b.keys() and all(alike(a[key], b[key]) for key in a)
    if isinstance(a, list | tuple):
        return len(a) == len(b) and all(map(alike, a, b))
    return a == b


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


@pytest.mark.slow
@pytest.mark.parametrize("way", WAYS)
def test_to_the_bit(way, tmp_path, monkeypatch):
    words = [*SMALL, *WAYS[way]]
    run_job(tmp_path / "whole", *words)
    epoch = next((EPOCH[word] for word in words[1:] if word in EPOCH), 4)
    stops = {"boundary": (2 * epoch, kill, Killed), "within": (epoch, ctrl_c, KeyboardInterrupt)}
    for name, (step, happens, raised) in stops.items():
        folder = tmp_path / name
        with monkeypatch.context() as patch, pytest.raises(raised):
            at(patch, step, happens)
            run_job(folder, *words)
        start = torch.load(folder / "checkpoints/last.ckpt", weights_only=True)["resume"]["start"]
        assert (start[1] > 0) == (name == "within")
        go_on(folder, *words)
        same(tmp_path / "whole", folder)
