"""Folders of runs as jobs leave them, written in a moment, with any names."""

import base64
import csv
import io
import json
import random
from pathlib import Path

import yaml
from PIL import Image

from regraft.escaping import in_csv

CLASSES = ("cat", "dog", "owl")
DIAGRAM = [[10, 0.45, 0.4], [20, 0.75, 0.7], [30, 0.95, 0.8]]


def job(folder: Path, *, acc=0.8, seed=0, strategy="finetune", classes=CLASSES, words=(), **more):
    """A finished job with this test accuracy, and all the files of it that a page reads."""
    folder.mkdir(parents=True)
    chance = random.Random(f"{strategy}{seed}")
    result = {
        "status": "finished",
        "error": None,
        "choices": {"strategy": strategy, "backbone": "resnet18", "data": "digits"},
        "overrides": [f"strategy={strategy}", f"seed={seed}", *words],
        "seed": seed,
        "strategy": {"name": strategy, "quadrant": None},
        "metrics": {"val/acc": acc - 0.01, "test/acc": acc, "test/ece": 0.12, "test/loss": 0.5}
        | {"test/macro_f1": 0.79, "test/ece_calibrated": 0.03},
        "cost": {"wall_s": 2.0 + seed, "fit_s": 1.5, "images_forwarded": 1000},
        "data": {"name": "digits", "classes": len(classes), "train": 90, "val": 60, "test": 60},
        "plan": [{"stage": "stem", "action": "keep"}, {"stage": "stage1", "action": "tune"}],
        "calibration": {"temperature": 1.5, "images": 1234, "before": DIAGRAM, "after": DIAGRAM},
        "best_epoch": 2,
        "wandb": None,
        "versions": {"regraft": "0.1.0", "torch": "2.15.0"},
        "git": {"commit": "abc123", "dirty": False},
    }
    (folder / "result.json").write_text(json.dumps(result | more))
    config = {"seed": seed, "output_dir": str(folder), "optimizer": {"lr": 0.003, "betas": [0.9]}}
    (folder / "config.yaml").write_text(yaml.safe_dump({**config, "head": {"hidden": 8 + seed}}))
    rows = [
        f"{e},{e},{2 / (e + 1)},{0.3 * e},{1 / (e + 1)},{acc - 0.1 / (e + 1)}" for e in range(4)
    ]
    names = "epoch,step,train/loss,train/acc,val/loss,val/acc"
    (folder / "metrics.csv").write_text("\n".join([names, *rows]) + "\n")
    with (folder / "predictions.csv").open("w", newline="", encoding="utf-8") as file:
        writer = csv.writer(file)
        writer.writerow(
            ["split", "name", "true", "predicted", *(in_csv(f"p_{c}") for c in classes)]
        )
        for index in range(60):
            true = classes[index % len(classes)]
            said = true if chance.random() < acc else chance.choice(classes)
            row = ["test", f"test/{index}", in_csv(true), in_csv(said)]
            writer.writerow([*row, *[1 / len(classes)] * len(classes)])
    mistake = {"name": "test/7", "true": classes[0], "predicted": classes[1], "confidence": 0.99}
    (folder / "mistakes.json").write_text(json.dumps([mistake | {"image": jpeg()}]))
    return folder


def failed(folder: Path, error: str, **more):
    """A job that has failed before it did anything."""
    return job(folder, status="failed", error=error, metrics={}, cost={}, **more)


def sweep(folder: Path, strategies=("finetune", "scratch"), seeds=(0, 1), **more) -> Path:
    """A sweep of two strategies with two seeds; the first is the better one."""
    number = 0
    for place, strategy in enumerate(strategies):
        for seed in seeds:
            acc = 0.9 - 0.2 * place + 0.01 * seed
            job(folder / str(number), acc=acc, strategy=strategy, seed=seed, **more)
            number += 1
    return folder


def logged(folder, kind="offline-run", **more):
    """A sweep whose jobs have W&B runs, or say so."""
    for number in range(2):
        known = {"id": f"run{number}", "project": "birds", "entity": None}
        one = job(folder / str(number), seed=number, wandb=known, **more)
        (one / "wandb" / f"{kind}-20261121_120000-run{number}").mkdir(parents=True)
    return folder


def jpeg() -> str:
    content = io.BytesIO()
    Image.new("RGB", (8, 8), "red").save(content, "JPEG")
    return base64.b64encode(content.getvalue()).decode()
