"""A run's folder as training leaves it, of a network that was never trained."""

import csv
import json
from functools import partial
from pathlib import Path
from typing import Any

import families
import numpy as np
import shared
import torch
from torch import nn

from regraft.calibration import best_temperature, logits_of
from regraft.embedded import default_cfgs
from regraft.escaping import in_csv
from regraft.export.export import export
from regraft.model import Network, assemble

assert default_cfgs and families
CLASSES = ("a", "b", "c", "d", "e", "f", "g")
RESULT = {
    "metrics": {"test/acc": 0.875, "test/loss": 0.5, "test/macro_f1": 0.87, "test/ece": 0.16},
    "weights": {"source": "timm/x.y", "sha256": "0" * 64, "license": "dinov3-license"},
    "choices": {"strategy": "finetune", "head": "linear", "trainer": "auto"},
    "data": {"name": "pets [1]", "train": 1200, "val": 100, "test": 300},
    "versions": {"torch": "2"},
}
HEADS: dict[str, dict[str, Any]] = {
    "linear": {"_target_": "regraft.head.linear", "dropout": 0.1},
    "mlp": {"_target_": "regraft.head.mlp", "hidden": 16, "dropout": 0.1},
    "conv_mlp": {"_target_": "regraft.head.conv_mlp", "width": 8, "hidden": 16, "dropout": 0.1},
}


def make_run(
    folder: Path,
    name: str,
    size: int | None,
    *,
    head: str = "linear",
    dropped: int = 0,
    classes: tuple[str, ...] = CLASSES,
    calibration: dict[str, float | None] | None = None,
    **result: Any,
) -> Path:
    """Write checkpoints/best.ckpt and result.json; the last `dropped` stages are not there."""
    config: dict[str, Any] = {
        "backbone": {
            "_target_": "regraft.backbone.Backbone",
            "name": name,
            "weights": "random",
            "size": size,
        },
        "freeze": {"_target_": "regraft.plan.everything"},
        "head": HEADS[head],
    }
    if dropped:
        depth = len(assemble(config, classes).backbone.stages)
        actions = ["keep"] * (depth - dropped) + ["drop"] * dropped
        custom = {"_target_": "regraft.plan.custom", "actions": actions, "fixed_norm_below": 0}
        config["freeze"] = custom
    torch.manual_seed(0)
    network = lively(assemble(config, classes))
    (folder / "checkpoints").mkdir(parents=True)
    calibration = calibration or {"temperature": 1.7, "threshold": 0.3, "precision": 0.9}
    # Numbers that are nobody's default, and in which no two can be taken for each other.
    seen = vars(network.backbone.input) | {"mean": (0.4, 0.5, 0.6), "std": (0.3, 0.2, 0.25)}
    card = {"config": config, "classes": list(classes), "calibration": calibration, "input": seen}
    checkpoint = {"regraft": card, "state_dict": network.state_dict(), "epoch": 3}
    torch.save(checkpoint, folder / "checkpoints" / "best.ckpt")
    told = {"status": "finished", "checkpoint": "checkpoints/best.ckpt", "backbone": name}
    (folder / "result.json").write_text(json.dumps(told | result))
    return folder


def exported(format: str) -> Path:
    """A folder with `run`, of the smallest ResNet, and with `out`, its export, for reading only.

    It is made once for all workers, since to follow a network for ONNX takes seconds.
    """
    return shared.once("exported", (format,), partial(_export, format=format))


def _export(folder: Path, format: str) -> None:
    make_run(folder / "run", "test_resnet", 64, **RESULT)
    export(folder / "run", format, folder / "out")


def lively(network: Network) -> Network:
    """The same with logits that tell images apart, as random and empty layers do not."""
    for module in network.modules():
        if isinstance(module, nn.modules.batchnorm._BatchNorm):
            module.momentum = None  # a mean of all that it has seen
    network.train()
    with torch.no_grad():
        network(torch.randn(8, 3, *network.backbone.input.size))
        network.eval()
        last = network.head.layers[-1]
        nn.init.normal_(last.weight)
        nn.init.normal_(last.bias)
    return network


def write_predictions(
    folder: Path, classes: tuple[str, ...], images: int, true: int = 0
) -> np.ndarray:
    """predictions.csv of a run of before, with so many images in val and in test, whose
    probabilities (2, N, K) favour the first class, and which are all of the class `true`; and their
    temperature."""
    draws = np.random.default_rng(0).dirichlet([2.0] + [1.0] * (len(classes) - 1), (2, images))
    with (folder / "predictions.csv").open("w", newline="", encoding="utf-8") as file:
        writer = csv.writer(file)
        writer.writerow(
            ["split", "name", "true", "predicted", *(in_csv(f"p_{c}") for c in classes)]
        )
        for split, rows in zip(("val", "test"), draws, strict=True):
            for number, shares in enumerate(rows):
                names = [in_csv(classes[true]), in_csv(classes[int(shares.argmax())])]
                writer.writerow([split, f"{number}.png", *names, *shares])
    path = folder / "checkpoints" / "best.ckpt"
    checkpoint = torch.load(path, weights_only=True)
    fitted = best_temperature(logits_of(draws[0]), np.full(images, true))
    checkpoint["regraft"]["calibration"]["temperature"] = fitted
    torch.save(checkpoint, path)
    return draws
