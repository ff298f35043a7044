"""How long does the page of a sweep of 500 jobs take, and how large is it? Made of files only."""

import base64
import io
import json
import os
import subprocess
import sys
import tempfile
import time
from pathlib import Path

import numpy as np
import yaml
from PIL import Image

REPOSITORY = Path(__file__).parents[1]
RATES, HEADS, EPOCHS, MISTAKES = 10, 10, 60, 16


def measure(
    jobs: int = 500, classes: int = 10, images: int = 1000, runs: int = 3
) -> dict[str, list[float]]:
    """Seconds of `regraft report <sweep> --html` and megabytes of what it writes.

    Learning rates × heads × seeds, each job with validation and test predictions of so many images
    and its most confident mistakes; photographs, so that their thumbnails are as large as any.
    """
    with tempfile.TemporaryDirectory() as name:
        folder = Path(name) / "sweep"
        chance = np.random.default_rng(0)
        mistakes = thumbnails(chance, classes)
        for number in range(jobs):
            write(folder / str(number), number, chance, classes, images, mistakes)
        seconds, computed = zip(*(report(folder) for _ in range(runs)), strict=True)
        size = (folder / "report.html").stat().st_size / 1e6
    what = f"{jobs} jobs, {classes} classes, {images} test images"
    return {
        f"{what}: whole command, s": list(seconds),
        f"{what}: of that computing, s": list(computed),
        f"{what}: report.html, MB": [size],
    }


def report(folder: Path) -> tuple[float, float]:
    """Seconds of the whole command, from the shell's point of view, and those that it computed:
    what it would take if nobody else used the cores."""
    start, before = time.perf_counter(), os.times()
    command = [sys.executable, "-m", "regraft.cli", "report", str(folder), "--html"]
    done = subprocess.run(command, cwd=REPOSITORY / "src", capture_output=True, text=True)
    if done.returncode:
        raise SystemExit(done.stderr)
    after = os.times()
    computed = sum(after[2:4]) - sum(before[2:4])
    return time.perf_counter() - start, computed


def write(
    folder: Path, number: int, chance: np.random.Generator, classes: int, images: int, mistakes: str
) -> None:
    """One job's files, as large as those of a real one."""
    folder.mkdir(parents=True)
    seed, place = divmod(number, RATES * HEADS)
    rate, head = 10 ** -(1 + 0.3 * (place % RATES)), f"head{place // RATES}"
    acc = float(chance.uniform(0.5, 0.9))
    words = [f"optimizer.lr={rate:.4g}", f"head={head}", f"seed={seed}"]
    diagram = [[images // 15, (b + 0.5) / 15, min(1.0, (b + 0.2) / 15)] for b in range(15)]
    result = {
        "status": "finished",
        "choices": {"strategy": "finetune", "head": head, "data": "birds", "backbone": "resnet18"},
        "overrides": words,
        "seed": seed,
        "strategy": {"name": "finetune"},
        "metrics": {f"{split}/{name}": acc for split in ("val", "test") for name in METRICS},
        "cost": {"wall_s": 2.0, "fit_s": 1.0, "images_forwarded": 1000, "params_trained": 10_000},
        "data": {"name": "birds", "classes": classes, "train": 2000, "val": 500, "test": images},
        "plan": [{"stage": f"stage{stage}", "action": "keep"} for stage in range(5)],
        "calibration": {"temperature": 1.2, "before": diagram, "after": diagram},
        "best_epoch": 30,
        "versions": {"regraft": "0.1.0", "torch": "2.15.0"},
        "git": {"commit": "0" * 40, "dirty": False},
    }
    (folder / "result.json").write_text(json.dumps(result))
    settings = {f"key{key}": {f"value{value}": value for value in range(8)} for key in range(10)}
    config = settings | {"optimizer": {"lr": rate}, "seed": seed, "output_dir": str(folder)}
    (folder / "config.yaml").write_text(yaml.safe_dump(config))
    rows = [",".join(map(str, [e, e, *chance.uniform(size=4)])) for e in range(EPOCHS)]
    heads = "epoch,step,train/loss,train/acc,val/loss,val/acc"
    (folder / "metrics.csv").write_text("\n".join([heads, *rows]) + "\n")
    (folder / "predictions.csv").write_text(predictions(chance, classes, images, acc))
    (folder / "mistakes.json").write_text(mistakes)


METRICS = ("acc", "loss", "macro_f1", "ece", "ece_calibrated")


def predictions(chance: np.random.Generator, classes: int, images: int, acc: float) -> str:
    """Of half as many validation as test images."""
    shares = ",".join([f"{1 / classes:.6f}"] * classes)
    lines = [f"split,name,true,predicted,{','.join(f'p_class {c}' for c in range(classes))}"]
    for split, count in (("val", images // 2), ("test", images)):
        true = np.arange(count) % classes
        said = np.where(
            chance.uniform(size=count) < acc, true, chance.integers(classes, size=count)
        )
        lines += [
            f"{split},{split}/{i}.jpg,class {t},class {s},{shares}"
            for i, (t, s) in enumerate(zip(true.tolist(), said.tolist(), strict=True))
        ]
    return "\n".join(lines) + "\n"


def thumbnails(chance: np.random.Generator, classes: int) -> str:
    """Photographs, nearly: coarse noise, made larger."""
    rows = []
    for number in range(MISTAKES):
        coarse = Image.fromarray(chance.integers(256, size=(24, 24, 3), dtype=np.uint8))
        content = io.BytesIO()
        coarse.resize((96, 96), Image.Resampling.BICUBIC).save(content, "JPEG", quality=80)
        row = {"name": f"test/{number}.jpg", "true": "class 0", "predicted": "class 1"}
        image = base64.b64encode(content.getvalue()).decode()
        rows.append(row | {"confidence": 0.99, "image": image})
    return json.dumps(rows)
