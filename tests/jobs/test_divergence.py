"""A loss that is no number ends the training: with the step, the reason and the best weights."""

import json
from pathlib import Path

import pytest
import torch
from jobs import run_job
from runs import TINY
from safetensors.torch import load_file, save_file

import regraft
from regraft import optim
from regraft.errors import RegraftError

QUICK = (*TINY, "head=linear", "optimizer=sgd")


def result(folder):
    return json.loads((folder / "result.json").read_text())


def test_a_training_that_diverges_keeps_its_best_weights(tmp_path, monkeypatch):
    monkeypatch.setattr(optim, "warmup_cosine", lambda step, *_: 1.0 if step < 4 else 1e38)
    words = [*QUICK, "optimizer.lr=0.5", "trainer.max_epochs=4", "trainer.gradient_clip_val=null"]
    with pytest.raises(RegraftError, match=r"(NaN|infinite) at step [56] \(epoch 2 of 4\): "):
        run_job(tmp_path, *words)
    found = result(tmp_path)
    assert found["status"] == "failed"
    assert "try optimizer.lr=0.05 instead of 0.5" in found["error"]
    assert found["error"].endswith("the best weights until then are kept in best.ckpt")
    assert found["checkpoint"] == "checkpoints/best.ckpt"
    assert found["best_epoch"] == 0
    stored = torch.load(tmp_path / found["checkpoint"], weights_only=True)
    assert stored["epoch"] == found["best_epoch"]
    assert any(name.startswith("backbone.net.conv1") for name in stored["state_dict"])
    assert all(tensor.isfinite().all() for tensor in stored["state_dict"].values())


@pytest.mark.parametrize(
    ("strategy", "said"),
    [
        ("finetune", "the weights hold NaN or infinite numbers before any training: backbone.net."),
        ("feature_extraction", "the weights hold NaN or infinite numbers before any training: "),
    ],
)
def test_weights_that_are_no_numbers_are_refused(strategy, said, tmp_path):
    [shipped] = Path(regraft.__file__).parent.rglob("fractal_resnet.safetensors")
    tensors = load_file(shipped)
    name = next(name for name in tensors if name.endswith("conv1.weight"))
    tensors[name][0] = float("nan")
    save_file(tensors, tmp_path / "nan.safetensors")
    words = [*QUICK, f"strategy={strategy}", f"backbone.weights={tmp_path}/nan.safetensors"]
    with pytest.raises(RegraftError, match=said):
        run_job(tmp_path / "run", *words)
