import pytest
from omegaconf import OmegaConf

from regraft.length import with_enough_steps


def config(min_steps, epochs=20, batch_size=64, together=1):
    trainer = {"max_epochs": epochs, "check_val_every_n_epoch": 1}
    trainer["accumulate_grad_batches"] = together
    return OmegaConf.create(
        {"min_steps": min_steps, "trainer": trainer, "loader": {"batch_size": batch_size}}
    )


@pytest.mark.parametrize(
    ("cfg", "images", "epochs", "every"),
    [
        (config(400), 50, 400, 20),
        (config(400), 200, 100, 5),
        (config(400), 1300, 20, 1),
        (config(400, together=2), 1300, 37, 1),
        (config(0), 50, 20, 1),
        (config(10), 50, 20, 1),
        (config(400, epochs=500), 50, 500, 1),
    ],
)
def test_there_are_as_many_epochs_as_make_the_steps(cfg, images, epochs, every):
    found = with_enough_steps(cfg, images).trainer
    assert (found.max_epochs, found.check_val_every_n_epoch) == (epochs, every)
    assert cfg.trainer.max_epochs in (20, 500)


def test_more_epochs_than_were_asked_for_are_said(capsys):
    with_enough_steps(config(400), 50)
    assert capsys.readouterr().out == "min_steps=400: 400 epochs instead of 20\n"


def test_what_the_trainer_will_refuse_is_left_to_it():
    assert with_enough_steps(config(400, epochs=None), 50).trainer.max_epochs is None
