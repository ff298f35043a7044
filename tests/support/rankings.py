"""Folders of a ranking's jobs as they leave them: probes of candidates, and trainings."""

import json

import numpy as np

from regraft.jobs import read_jobs
from regraft.ranking import ranking

N = 200


def write(folder, number, name, result):
    job = folder / str(number)
    job.mkdir(parents=True, exist_ok=True)
    known = {
        "choices": {"backbone": name, "data": "digits"},
        "overrides": [f"backbone={name}"],
        "seed": 0,
        "data": {"name": "digits", "test": N},
        "backbone": f"{name}.tag",
        "status": "finished",
        **result,
    }
    (job / "result.json").write_text(json.dumps(known))
    return job


def right(acc, first=0):
    """Answers of which a share is right, beginning at image `first`."""
    return (np.arange(N) - first) % N < round(acc * N)


def candidate(folder, number, name, acc, *, told=None, weights="pretrained", **scores):
    """A probe that got this share right, or failed (None)."""
    if acc is None:
        return write(folder, number, name, {"status": "failed", "error": "no weights"})
    told = right(acc) if told is None else told
    linear = {"acc": acc, "low": acc - 0.05, "high": acc + 0.05}
    found = {"linear": linear, "neighbours": linear, "logme": acc, "hscore": 1.0, "params": 1000}
    found |= {"images": len(told), "weights": weights, **scores}
    job = write(folder, number, name, {"metrics": {"test/acc": acc}, "scores": found})
    rows = [f"i{n},x,{int(answer)},0" for n, answer in enumerate(told)]
    (job / "probe.csv").write_text("\n".join(["name,true,linear,neighbours", *rows]) + "\n")
    return job


def training(folder, number, name, acc, *, told=None, seed=0):
    told = right(acc) if told is None else told
    result = {"metrics": {"test/acc": acc}, "seed": seed, "cost": {"wall_s": 5.0}}
    job = write(folder, number, name, {**result, "overrides": [f"backbone={name}", f"seed={seed}"]})
    rows = [f"test,i{n},x,{'x' if answer else 'y'}" for n, answer in enumerate(told)]
    (job / "predictions.csv").write_text("\n".join(["split,name,true,predicted", *rows]) + "\n")
    return job


def rank(folder, probes, published=None):
    return ranking(read_jobs(folder), probes, published)
