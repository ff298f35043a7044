"""Runs that have finished, as they lie on the disk, with what they said made up."""

import json

import numpy as np

from regraft import predictions

CLASSES = ("cat", "dog", "emu")


def truth(split, count, classes=CLASSES):
    """Names of the images of a split and their classes, (N,)."""
    labels = np.arange(count) % len(classes)
    return tuple(f"{split}/{number:03d}.png" for number in range(count)), labels


def opinion(seed, labels, classes=CLASSES, skill=1.0):
    """Probabilities (N, C) of somebody with so much skill."""
    rng = np.random.default_rng(seed)
    logits = rng.normal(size=(len(labels), len(classes)))
    logits[np.arange(len(labels)), labels] += skill
    shares = np.exp(logits)
    return shares / shares.sum(1, keepdims=True)


def finished(folder, said, classes=CLASSES, **changes):
    """Write a run that said this: by split names (N,), labels (N,) and probabilities (N, C)."""
    folder.mkdir(parents=True)
    predictions.write(folder / predictions.NAME, classes, said)
    result = {
        "status": "finished",
        "choices": {"strategy": "finetune", "backbone": "resnet18", "data": "digits"},
        "overrides": [f"seed={folder.name}"],
        "seed": int(folder.name),
        "metrics": {"val/acc": 0.5, "test/acc": 0.5},
        "cost": {"params_total": 1000, "fit_s": 2.0},
        "data": {"name": "digits", "classes": len(classes)},
    }
    (folder / "result.json").write_text(json.dumps(result | changes))
    return folder


def sweep(folder, skills=(1.0, 1.2, 0.8), *, val=60, test=90, classes=CLASSES):
    """A sweep of runs with these skills on the same images."""
    for number, skill in enumerate(skills):
        said = {}
        for place, (split, count) in enumerate((("val", val), ("test", test))):
            names, labels = truth(split, count, classes)
            seed = 10 * number + place
            said[split] = names, labels, opinion(seed, labels, classes, skill)
        finished(folder / str(number), said, classes)
    (folder / "sweep.json").write_text(json.dumps({"jobs": len(skills)}))
    return folder
