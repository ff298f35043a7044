"""A loss that is no number is found, at its step, with what may have made it."""

from types import SimpleNamespace

import pytest
import torch

from regraft.divergence import Divergence
from regraft.errors import RegraftError


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
