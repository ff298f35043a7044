"""What holds for one training through Lightning: each family once, and each plan."""

from functools import partial

import pytest
import pytorch_lightning as pl
import torch
from families import FAMILIES
from fits import CLASSES, NORM, POLICIES, batches, classifier, fit, moved, tensors
from pytorch_lightning.callbacks import ModelCheckpoint
from pytorch_lightning.plugins.precision import MixedPrecision
from torchmetrics.functional.classification import multiclass_f1_score, multiclass_recall

from regraft import head, optim, plan, progress
from regraft.cut import cut
from regraft.errors import RegraftError
from regraft.plan import Plan


def flat(model):
    return torch.cat([p.detach().flatten() for p in model.parameters()])


def members(model, index):
    return [model.backbone.net.get_submodule(path) for path in model.backbone.stages[index].modules]


@pytest.mark.parametrize("family", FAMILIES)
def test_in_every_family_what_is_kept_stays_to_the_byte_and_all_above_learns(family, tmp_path):
    made, changed, top = moved(family, POLICIES["first"], tmp_path)
    assert made.indices("keep") == (0, 1)
    assert [index for index, names in enumerate(changed) if not names] == [0, 1]
    assert top


@pytest.mark.parametrize(
    ("policy", "ema"), [("first", True), ("partial", False), ("all", False), ("all", True)]
)
def test_what_is_kept_stays_to_the_byte_under_every_plan(policy, ema, tmp_path):
    average = [optim.ema(decay=0.9)] if ema else []
    made, changed, top = moved("resnet", POLICIES[policy], tmp_path, average)
    kept = made.indices("keep")
    assert kept
    assert [index for index, names in enumerate(changed) if not names] == [*kept]
    assert top


def test_of_the_first_weights_little_is_left_in_the_average_of_a_short_training(tmp_path):
    """With a decay of 0.99 from the start, nearly all of them would be left."""
    plain, averaged = (classifier("resnet", POLICIES["first"]) for _ in range(2))
    start = flat(plain)
    fit(plain, tmp_path)
    fit(averaged, tmp_path, callbacks=[optim.ema(decay=0.99)])
    apart = (flat(averaged) - flat(plain)).norm()
    assert 0 < apart < 0.5 * (start - flat(plain)).norm()


def test_a_phase_starts_at_its_step_and_not_before(tmp_path):
    model = classifier("resnet", partial(plan.gradual, begin=0.5, end=0.5, **NORM))
    seen = []

    class Watch(pl.Callback):
        def on_train_batch_end(self, trainer, pl_module, *rest):
            seen.append((trainer.global_step, torch.cat([p.flatten() for p in stem]).clone()))

    stem = list(model.backbone.stage_parameters(0).values())
    start = torch.cat([p.detach().flatten() for p in stem]).clone()
    fit(model, tmp_path, epochs=4, callbacks=[Watch()])  # 12 steps

    for step, now in seen:
        assert torch.equal(now, start) == (step <= 6), step


def test_a_stage_that_waits_keeps_its_statistics_too(tmp_path):
    model = classifier("resnet", partial(plan.gradual, begin=1.0, end=1.0, **NORM))
    before = tensors(model, 0)
    fit(model, tmp_path)
    assert all(torch.equal(t, before[n]) for n, t in tensors(model, 0).items())


@pytest.mark.filterwarnings("ignore:Checkpoint directory .* exists and is not empty")
@pytest.mark.parametrize(
    "policy",
    [partial(plan.gradual, begin=0.2, end=0.6, **NORM), POLICIES["first"], POLICIES["all"]],
    ids=["gradual", "first", "all"],
)
def test_a_resumed_run_ends_where_an_unbroken_run_ends(policy, tmp_path):
    """Lightning's BackboneFinetuning leaves the trunk frozen for ever (#21901)."""
    whole = classifier("resnet", policy)
    keep = ModelCheckpoint(tmp_path, filename="{epoch}", save_top_k=-1, every_n_epochs=1)
    fit(whole, tmp_path, epochs=4, callbacks=[keep])
    [middle] = tmp_path.glob("*epoch=2*.ckpt")

    # The kept stages come from their weights, here seed 0; what is trained, from the checkpoint.
    again = classifier("resnet", policy, seed=0)
    for part in (again.head, *(m for i in again.plan.indices("tune") for m in members(again, i))):
        for parameter in part.parameters():
            torch.nn.init.normal_(parameter)
    trainer = pl.Trainer(
        callbacks=[ModelCheckpoint(tmp_path, filename="{epoch}", save_top_k=-1, every_n_epochs=1)],
        max_epochs=4,
        logger=False,
        accelerator="cpu",
        enable_progress_bar=False,
        enable_model_summary=False,
        gradient_clip_val=1.0,
    )
    trainer.fit(again, batches(again), batches(again), ckpt_path=middle, weights_only=True)

    for name, tensor in whole.state_dict().items():
        torch.testing.assert_close(again.state_dict()[name], tensor, rtol=0, atol=0)


def test_the_same_seed_gives_the_same_weights_and_another_seed_others(tmp_path):
    runs = [classifier("resnet", POLICIES["partial"], seed=seed) for seed in (0, 0, 1)]
    for model in runs:
        fit(model, tmp_path)
    first, second, other = (torch.cat([p.flatten() for p in m.parameters()]) for m in runs)

    assert torch.equal(first, second)
    assert not torch.equal(first, other)


def test_a_checkpoint_of_other_classes_is_refused(tmp_path):
    model = classifier("resnet", POLICIES["all"])
    trainer = fit(model, tmp_path)
    trainer.save_checkpoint(tmp_path / "a.ckpt")
    other = classifier("resnet", POLICIES["all"], classes=("ant", "cat", "bee"))
    with pytest.raises(RegraftError, match="knows other classes"):
        trainer.fit(other, batches(other), batches(other), ckpt_path=tmp_path / "a.ckpt")


def test_a_checkpoint_holds_plain_data_that_loads_without_running_code(tmp_path):
    model = classifier("resnet", POLICIES["all"])
    fit(model, tmp_path).save_checkpoint(tmp_path / "a.ckpt")
    stored = torch.load(tmp_path / "a.ckpt", weights_only=True)
    assert stored["regraft"]["classes"] == list(CLASSES)


def test_a_checkpoint_repeats_no_kept_stage_until_it_is_completed(tmp_path):
    model = classifier("resnet", POLICIES["first"])
    trainer = fit(model, tmp_path)
    trainer.save_checkpoint(tmp_path / "a.ckpt")
    stored = torch.load(tmp_path / "a.ckpt", weights_only=True)
    kept = {f"backbone.net.{n}" for i in (0, 1) for n in model.backbone.stages[i].tensors}

    assert not kept & stored["state_dict"].keys()
    whole = model.complete(stored)["state_dict"]
    assert whole.keys() == model.state_dict().keys()
    assert all(torch.equal(whole[name], t) for name, t in model.state_dict().items())


def test_early_stopping_sleeps_while_stages_wait_for_their_start(tmp_path):
    def epochs(policy):
        stop = progress.EarlyStopping(monitor="val/loss", mode="max", patience=1)  # never improves
        stop.best_score = torch.tensor(torch.inf)
        return fit(classifier("resnet", policy), tmp_path, epochs=8, callbacks=[stop]).current_epoch

    assert epochs(partial(plan.gradual, begin=0.5, end=0.5, **NORM)) > 4
    assert epochs(partial(plan.none, above="tune", **NORM)) < 4


def test_features_fed_instead_of_images_give_the_same_logits():
    model = classifier("convnext", POLICIES["all"]).eval()
    images, _ = next(iter(batches(model)))
    made = cut(model.backbone, 2, model.head.takes)
    torch.nn.init.normal_(model.head.layers[-1].weight)
    logits = model(images)
    model.cut = made
    torch.testing.assert_close(model(made.prefix(images)), logits)


def test_a_convolutional_head_trains_on_the_map(tmp_path):
    made = partial(head.conv_mlp, width=8, hidden=8)
    model = classifier("resnet", POLICIES["partial"], make_head=made)
    before = model.head.layers[0].weight.detach().clone()
    fit(model, tmp_path)
    assert not torch.equal(before, model.head.layers[0].weight)


def test_a_plan_that_keeps_above_a_trained_stage_freezes_just_that(tmp_path):
    actions = ("tune", "keep", "keep", "keep", "keep")
    model = classifier("resnet", lambda depth, images: Plan(actions, (0.0,) * 5, surgical=True))
    before = [tensors(model, index) for index in range(5)]
    fit(model, tmp_path)
    for index in range(1, 5):
        assert all(torch.equal(t, before[index][n]) for n, t in tensors(model, index).items())
    assert any(not torch.equal(t, before[0][n]) for n, t in tensors(model, 0).items())


def test_the_training_loss_of_an_epoch_counts_every_image_once(tmp_path):
    model = classifier("resnet", POLICIES["all"])
    seen, update = [], model.train_loss.update

    def remember(losses):
        seen.append((len(losses), float(losses[0])))
        update(losses)

    model.train_loss.update = remember
    trainer = fit(model, tmp_path, epochs=1, images=6)  # a batch of four and one of two
    assert [count for count, _ in seen] == [4, 2]
    expected = sum(count * loss for count, loss in seen) / 6
    assert float(trainer.callback_metrics["train/loss"]) == pytest.approx(expected)


def test_the_training_loss_of_an_epoch_that_ends_early_is_its_own(tmp_path):
    """Not what the epoch before it had, which is what Lightning still holds."""
    model, seen, logged = classifier("resnet", POLICIES["all"]), [], []
    update = model.train_loss.update

    def remember(losses):
        seen.append((model.current_epoch, float(losses[0])))
        update(losses)

    class Watch(pl.Callback):
        def on_train_epoch_end(self, trainer, pl_module):
            logged.append(float(trainer.callback_metrics["train/loss"]))

    model.train_loss.update = remember
    fit(model, tmp_path, callbacks=[Watch()], max_steps=5)  # of batches of four, 3 in an epoch
    means = [sum(x for e, x in seen if e == epoch) / n for epoch, n in ((0, 3), (1, 2))]
    assert logged == pytest.approx(means)


def test_a_second_training_of_the_same_network_logs_its_first_epoch_too(tmp_path):
    model = classifier("resnet", POLICIES["all"])
    first, second = (fit(model, tmp_path, epochs=1).callback_metrics for _ in range(2))
    assert second["train/loss"] != first["train/loss"]


def test_macro_f1_and_balanced_accuracy_of_every_validation_are_logged(tmp_path):
    model, logged, said = classifier("resnet", POLICIES["all"]), [], []

    class Watch(pl.Callback):
        def on_validation_batch_end(self, trainer, pl_module, outputs, batch, batch_idx):
            said.append((batch[1], model.eval()(batch[0]).argmax(1)))

        def on_validation_end(self, trainer, pl_module):
            logged.append({k: float(v) for k, v in trainer.callback_metrics.items()})

    fit(model, tmp_path, epochs=3, images=10, callbacks=[Watch()])
    each = len(said) // 3
    for epoch, found in enumerate(logged):
        now = said[epoch * each : (epoch + 1) * each]
        true, predicted = (torch.cat(part) for part in zip(*now, strict=True))
        f1 = multiclass_f1_score(predicted, true, 3, average="macro")
        recall = multiclass_recall(predicted, true, 3, average="macro")
        assert found["val/macro_f1"] == pytest.approx(float(f1))
        assert found["val/balanced_acc"] == pytest.approx(float(recall))


def test_early_stopping_may_watch_the_training_loss(tmp_path):
    stop = progress.EarlyStopping(monitor="train/loss", mode="max", patience=1)  # never improves
    stop.best_score = torch.tensor(torch.inf)
    trainer = fit(classifier("resnet", POLICIES["all"]), tmp_path, callbacks=[stop], epochs=8)
    assert trainer.current_epoch == 1


@pytest.mark.filterwarnings("ignore:ReduceLROnPlateau conditioned on metric")
@pytest.mark.parametrize(("every", "lowered"), [(1, [3, 5, 7]), (2, [6])])
def test_a_plateau_lowers_every_rate_after_validations_without_a_better_one(
    every, lowered, tmp_path
):
    """Of a loss that never changes, each with one validation of patience."""
    model, rates = classifier("resnet", POLICIES["all"]), []
    model.make_scheduler = partial(optim.plateau, monitor="val/loss", factor=0.5, patience=1)

    class Watch(pl.Callback):
        def on_train_epoch_start(self, trainer, pl_module):
            rates.append([group["lr"] for group in trainer.optimizers[0].param_groups])

    def validation_step(batch, batch_idx):
        model.said.append((batch[1], batch[1]))
        model.log("val/loss", torch.tensor(1.0))

    model.validation_step = validation_step
    fit(model, tmp_path, epochs=8, callbacks=[Watch()], check_val_every_n_epoch=every)
    falls = [n for n in range(1, 8) if rates[n][0] < rates[n - 1][0]]
    assert falls == lowered
    for now in rates:  # the ratios are those of the plan
        assert now[0] / now[-1] == pytest.approx(rates[0][0] / rates[0][-1])


def test_class_weights_weigh_the_loss_in_training_only_and_are_not_in_checkpoints(tmp_path):
    model = classifier("resnet", POLICIES["all"])
    model.class_weights = torch.tensor([0.0, 0.0, 1.0])
    trainer = fit(model, tmp_path, epochs=1, images=6)
    with torch.no_grad():
        logits = model.eval()(torch.cat([x for x, _ in batches(model, 6)]))
    labels = torch.arange(6) % 3
    plain = torch.nn.functional.cross_entropy(logits, labels)
    assert float(trainer.callback_metrics["val/loss"]) == pytest.approx(float(plain), rel=1e-4)

    heavy = torch.nn.functional.cross_entropy(logits[labels == 2], labels[labels == 2])
    model.forward, model.log = lambda _: logits, lambda *_, **__: None
    shares = torch.nn.functional.one_hot(labels, 3).float()
    for targets in (labels, shares):  # two of six images count
        loss = float(model.training_step((logits, targets), 0))
        assert loss == pytest.approx(float(heavy) / 3, rel=1e-4)
    assert not any("class_weights" in name for name in model.state_dict())


@pytest.mark.parametrize("precision", ["32-true", "bf16-mixed"])
def test_gradients_of_fused_optimizers_are_clipped_in_any_precision(
    precision, tmp_path, monkeypatch
):
    model = classifier("resnet", POLICIES["all"])
    norms = []

    def step(self, closure=None):
        closure()
        grads = [p.grad for group in self.param_groups for p in group["params"]]
        norms.append(float(torch.cat([g.flatten() for g in grads if g is not None]).norm()))

    monkeypatch.setattr(torch.optim.SGD, "step", step)
    fit(model, tmp_path, precision=precision, gradient_clip_val=1e-3)
    assert model.optimizers().defaults["fused"]
    assert norms == pytest.approx([1e-3] * 6, rel=0.01)  # without, they are a hundred times larger


def test_scaled_gradients_of_a_fused_optimizer_are_not_clipped_but_refused(tmp_path):
    half = MixedPrecision("16-mixed", "cpu", torch.amp.GradScaler("cpu"))
    with pytest.raises(RegraftError, match="add optimizer.fused=false"):
        fit(classifier("resnet", POLICIES["all"]), tmp_path, plugins=[half])
