"""A loss that is no number ends the training: with the step, the reason and the best weights."""

import json
from types import SimpleNamespace

import pytest
import torch
from jobs import run_job
from safetensors.torch import load_file, save_file

from regraft import optim
from regraft.divergence import Divergence
from regraft.errors import RegraftError
from regraft.paths import conf_folder

QUICK = ("logger=none", "data.per_class=5", "head=linear", "optimizer=sgd")
HERE = conf_folder().parent


def result(folder):
    return json.loads((folder / "result.json").read_text())


def test_a_training_that_diverges_keeps_its_best_weights(tmp_path, monkeypatch):
    monkeypatch.setattr(optim, "warmup_cosine", lambda step, *_: 1.0 if step < 2 else 1e38)
    words = [*QUICK, "optimizer.lr=0.5", "trainer.max_epochs=6", "trainer.gradient_clip_val=null"]
    with pytest.raises(RegraftError, match=r"became (NaN|infinite) at step \d \(epoch \d of 6\): "):
        run_job(tmp_path, *words)
    found = result(tmp_path)
    assert found["status"] == "failed"
    assert "try optimizer.lr=0.05 instead of 0.5" in found["error"]
    assert found["error"].endswith("the best weights until then are kept in best.ckpt")
    assert found["checkpoint"] == "checkpoints/best.ckpt"
    assert found["best_epoch"] in (0, 1)
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
    [shipped] = (HERE / "src").rglob("fractal_resnet.safetensors")
    tensors = load_file(shipped)
    name = next(name for name in tensors if name.endswith("conv1.weight"))
    tensors[name][0] = float("nan")
    save_file(tensors, tmp_path / "nan.safetensors")
    words = [*QUICK, f"strategy={strategy}", f"backbone.weights={tmp_path}/nan.safetensors"]
    with pytest.raises(RegraftError, match=said):
        run_job(tmp_path / "run", *words, "trainer.max_epochs=1")


def watching(*losses, every=1, precision="32-true", tensors=None):
    """The callback after these losses, one per step, all of one epoch."""
    watcher = Divergence(["a.png", "b.png", "c.png"])
    watcher.every = every
    group = {"lr": 0.1, "initial_lr": 0.1}
    trainer = SimpleNamespace(
        global_step=0,
        is_last_batch=False,
        accumulate_grad_batches=1,
        current_epoch=2,
        max_epochs=9,
        checkpoint_callback=None,
        precision=precision,
        optimizers=[SimpleNamespace(param_groups=[group])],
        datamodule=SimpleNamespace(tensors=tensors) if tensors else SimpleNamespace(),
    )
    head = torch.nn.Linear(2, 2)
    module = SimpleNamespace(
        card={}, named_parameters=head.named_parameters, named_buffers=head.named_buffers
    )
    for index, loss in enumerate(losses):
        trainer.global_step = index + 1
        batch = (torch.zeros(2, 3), torch.zeros(2))
        watcher.on_train_batch_end(trainer, module, {"loss": torch.tensor(loss)}, batch, index)


NAN, INF = float("nan"), float("inf")


@pytest.mark.parametrize(
    ("losses", "options", "said"),
    [
        ((2.0, 1.5, 90.0, NAN), {}, "NaN at step 4 (epoch 3 of 9): it had risen from 1.5 to 90"),
        ((2.0, 1.5, INF), {}, "infinite at step 3 (epoch 3 of 9): it was 1.5 the step before"),
        ((NAN,), {}, "what the network makes of the first batch is not"),
        ((2.0, NAN), {"precision": "16-mixed"}, "65504, which was exceeded; use trainer.precision"),
        # Read late, it is the first bad step all the same.
        ((2.0, NAN, NAN, NAN), {"every": 4}, "NaN at step 2 (epoch 3 of 9): it was 2 the step"),
        (
            (NAN,),
            {"tensors": {"train": (torch.tensor([[1.0, 1.0], [NAN, 1.0], [1.0, INF]]), None)}},
            "what the kept stages give for some images is no number (b.png, c.png); look at these",
        ),
    ],
)
def test_the_reason_is_looked_for(losses, options, said):
    with pytest.raises(RegraftError) as found:
        watching(*losses, **options)
    assert said in str(found.value)


def test_an_accelerator_is_not_asked_at_every_step():
    watching(1.0, NAN, 1.0, every=4)  # not read yet


def test_noise_is_no_divergence():
    watching(2.0, 0.1, 1e9, 0.2)
