"""What each strategy does to each stage, as a witness saw it: bytes, modes, rates and images.

The invariants 1 and 4 of the design, in a training of twelve steps; the runs are those of the
golden losses.
"""

import math

import golden
import pytest

WHOLE = ("feature_extraction without the cache", "partial", "finetune", "scratch")
STEPS, IMAGES = 12, 24


@pytest.fixture(params=golden.JOBS)
def job(request, finished_run):
    run = finished_run(*golden.JOBS[request.param])
    assert run.returncode == 0, run.stderr
    return run


def tensors_of(run, *actions):
    """Names of the tensors of the stages with one of these actions, as timm's network has them."""
    wanted = [row["modules"].split(", ") for row in run.result["plan"] if row["action"] in actions]
    prefixes = tuple(f"{module}." for modules in wanted for module in modules)
    return [name for name in run.witness["before"] if name.startswith(prefixes)]


def changed(run, names):
    before, after = run.witness["before"], run.witness["after"]
    return [name for name in names if before[name] != after[name]]


def test_every_run_has_finished_its_twelve_steps(job):
    assert job.result["status"] == "finished"
    assert len(job.witness["losses"]) == STEPS
    assert all(map(math.isfinite, job.witness["losses"]))


def test_frozen_means_frozen_parameters_and_buffers(job):
    kept = tensors_of(job, "keep")
    assert changed(job, kept) == []
    if kept:
        assert any("running_mean" in name for name in kept)


def test_what_is_tuned_or_reset_learns(job):
    moving = [n for n in tensors_of(job, "tune", "reset") if n.endswith("weight")]
    assert changed(job, moving) == moving


def test_with_few_images_tuned_stages_keep_the_statistics_of_their_norms(finished_run):
    """24 images are too few to learn them from; a stage with random weights has to."""
    tuned, scratch = (finished_run(*golden.JOBS[name]) for name in ("finetune", "scratch"))
    statistics = [name for name in tuned.witness["before"] if "running_" in name]
    assert changed(tuned, statistics) == []
    assert changed(scratch, statistics) == statistics


def test_kept_stages_are_never_in_train_mode(job):
    kept = tuple(
        module
        for row in job.result["plan"]
        if row["action"] == "keep"
        for module in row["modules"].split(", ")
    )
    for training in job.witness["modes"]:
        assert [name for name in training if name.partition(".")[0] in kept] == []


def test_the_rate_of_each_group_is_the_heads_times_the_ratio_of_the_plan(job):
    ratios = {row["stage"]: row["lr_ratio"] for row in job.result["plan"] if row["lr_ratio"]}
    for rates in job.witness["rates"]:
        head = rates["head/weights"]
        assert {name.partition("/")[0] for name in rates} == {*ratios, "head"}
        for name, rate in rates.items():
            ratio = ratios.get(name.partition("/")[0], 1.0)
            assert rate == pytest.approx(head * ratio, rel=1e-4), name


def test_the_rate_rises_and_falls_at_every_step_not_once_per_epoch(job):
    """Half a cosine down to nothing, after a warm-up of one of the twelve steps."""
    rates = [rates["head/weights"] for rates in job.witness["rates"]]
    assert len({*rates}) == len(rates) == STEPS
    top = rates.index(max(rates))
    assert top <= 1
    assert rates[top:] == sorted(rates[top:], reverse=True)
    assert rates[-1] < 0.05 * rates[top]


def test_the_plans_ratios_are_those_that_the_strategy_promises(finished_run):
    """A tenth of the head's rate for the last stage, and 0.7 of the one above for each below it."""
    plan = finished_run(*golden.JOBS["finetune"]).result["plan"]
    assert [row["lr_ratio"] for row in plan] == pytest.approx(
        [0.1 * 0.7**depth for depth in (4, 3, 2, 1, 0)]
    )
    plan = finished_run(*golden.JOBS["partial"]).result["plan"]
    assert [row["lr_ratio"] for row in plan if row["action"] == "reset"] == [1.0] * 3


def test_gradual_begins_at_the_top_and_ends_at_the_stem(finished_run):
    starts = [row["starts"] for row in finished_run(*golden.JOBS["gradual"]).result["plan"]]
    assert starts == sorted(starts, reverse=True)
    assert starts[0] > starts[-1] > 0


@pytest.mark.parametrize("name", ["lp_ft", "gradual"])
def test_until_its_phase_a_stage_loses_as_the_frozen_trunk_does(name, finished_run):
    """Before the first stage moves, both are a linear probe with the same head and batches."""
    run, frozen = (finished_run(*golden.JOBS[one]) for one in (name, "probe"))
    first = min(row["starts"] for row in run.result["plan"])
    steps = math.ceil(first * STEPS)
    assert 0 < steps < STEPS
    alone, both = frozen.witness["losses"], run.witness["losses"]
    assert both[:steps] == pytest.approx(alone[:steps], abs=1e-3)  # half precision in the cache
    assert both[steps:] != pytest.approx(alone[steps:], abs=1e-4)


@pytest.mark.parametrize("name", WHOLE)
def test_every_epoch_sees_each_training_image_once_in_an_order_of_its_own(name, finished_run):
    epochs = finished_run(*golden.JOBS[name]).witness["seen"]
    orders = [[image for batch in batches for image in batch] for batches in epochs]
    assert len(orders) == 4
    assert {len(order) for order in orders} == {len({*order}) for order in orders} == {IMAGES}
    assert len({frozenset(order) for order in orders}) == 1
    assert len({tuple(order) for order in orders}) == 4


def test_augmented_images_are_others_in_every_epoch(finished_run):
    plain = finished_run(*golden.JOBS["finetune"]).witness["losses"]
    augmented = finished_run(*golden.JOBS["augmented"]).witness["losses"]
    assert augmented[0] == pytest.approx(plain[0], abs=1e-4)  # a new head knows nothing yet
    assert augmented[1:] != pytest.approx(plain[1:], abs=1e-3)


def test_what_is_computed_once_gives_the_losses_of_what_is_not(finished_run):
    """Up to half precision, in which features are kept."""
    cached, plain = (
        finished_run(*golden.JOBS[name])
        for name in ("feature_extraction", "feature_extraction without the cache")
    )
    assert cached.result["cost"]["images_forwarded"] == 40  # each once
    assert plain.result["cost"]["images_forwarded"] == 4 * (24 + 8) + 8 + 8
    assert cached.witness["losses"] == pytest.approx(plain.witness["losses"], abs=2e-3)


def test_scratch_keeps_nothing_that_was_learned(finished_run):
    scratch, tuned = (finished_run(*golden.JOBS[name]) for name in ("scratch", "finetune"))
    assert scratch.result["weights"] is None
    assert tuned.result["weights"]["sha256"]
    weights = [name for name in tuned.witness["before"] if name.endswith("conv1.weight")]
    for name in weights:
        assert scratch.witness["before"][name] != tuned.witness["before"][name]
