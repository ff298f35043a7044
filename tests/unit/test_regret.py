import json

import pytest

from regraft.comparison import read_sweep
from regraft.regret import regrets
from regraft.report import report


def job(folder, number, strategy, seed, acc, **more):
    place = folder / str(number)
    place.mkdir(parents=True)
    result = {
        "status": "finished",
        "error": None,
        "choices": {"strategy": strategy, "data": "digits"},
        "overrides": [f"strategy={strategy}", f"seed={seed}"],
        "seed": seed,
        "strategy": {"name": strategy, "quadrant": None},
        "metrics": {"test/acc": acc},
        "cost": {"wall_s": 10.0 + number},
        "data": {"name": "digits", "classes": 10, "train": 50, "test": 1000},
        "advice": None,
    }
    (place / "result.json").write_text(json.dumps(result | more))


ADVICE = {
    "choices": [{"words": "strategy=finetune", "reason": "because"}],
    "floors": {"majority": 0.1, "linear probe": 0.6},
}


def sweep(folder, auto, finetune, scratch):
    number = 0
    for strategy, accs in {"auto": auto, "finetune": finetune, "scratch": scratch}.items():
        for seed, acc in enumerate(accs):
            advice = {"advice": ADVICE} if strategy == "auto" else {}
            job(folder, number, strategy, seed, acc, **advice)
            number += 1
    return folder


def test_an_advice_that_lost_clearly_was_wrong(tmp_path):
    folder = sweep(tmp_path, (0.70, 0.71, 0.70), (0.90, 0.91, 0.90), (0.5, 0.51, 0.5))
    [made] = regrets(read_sweep(folder)).values()
    assert not made.right and made.best == "finetune"
    assert made.points == pytest.approx(20)
    assert made.advised == {"finetune": 3}
    assert made.floors == pytest.approx({"majority": 0.1, "linear probe": 0.6})
    assert made.seconds == pytest.approx(11) and made.seconds_of_others == pytest.approx(14 + 17)
    assert "was wrong: auto (0.703) is worse than finetune (0.903): regret 20.0" in made.words
    assert "did better" not in made.words


def test_a_floor_above_all_that_training_is_said(tmp_path):
    floors = {"advice": ADVICE | {"floors": {"linear probe": 0.8, "majority": 0.1}}}
    for seed in range(2):
        job(tmp_path, seed, "auto", seed, 0.7, **floors)
        job(tmp_path, 2 + seed, "scratch", seed, 0.5)
    [made] = regrets(read_sweep(tmp_path)).values()
    assert "; linear probe did better than all that training" in made.words


def test_runs_whose_advice_was_lost_break_no_report(tmp_path):
    for seed in range(2):
        job(tmp_path, seed, "auto", seed, 0.7)
        job(tmp_path, 2 + seed, "scratch", seed, 0.5)
    report(tmp_path)
    assert "The advice, unknown, was" in (tmp_path / "sweep.md").read_text()


def test_an_advice_that_cannot_be_told_from_the_best_was_right(tmp_path):
    folder = sweep(tmp_path, (0.90, 0.93, 0.91), (0.92, 0.91, 0.92), (0.5, 0.51, 0.5))
    [made] = regrets(read_sweep(folder)).values()
    assert made.right and "ties with finetune" in made.words


def test_the_best_advice_has_no_regret(tmp_path):
    folder = sweep(tmp_path, (0.95, 0.96, 0.95), (0.9, 0.9, 0.9), (0.5, 0.51, 0.5))
    [made] = regrets(read_sweep(folder)).values()
    assert made.right and made.points == 0 and "auto (0.953) is the best" in made.words


def test_the_regret_is_in_a_file_of_the_sweep_and_in_its_table(tmp_path):
    folder = sweep(tmp_path, (0.70, 0.71, 0.70), (0.90, 0.91, 0.90), (0.5, 0.51, 0.5))
    before = {path: path.read_bytes() for path in folder.rglob("*.json")}
    made = report(folder)
    [(place, lost)] = json.loads((folder / "regret.json").read_text()).items()
    assert place == "digits, 10 classes × 5 images"
    assert (lost["points"], lost["best"], lost["advised"]) == (20.0, "finetune", {"finetune": 3})
    assert folder / "regret.json" in made.files
    assert "regret 20.0 points" in (folder / "sweep.md").read_text()
    assert {path: path.read_bytes() for path in before} == before  # what the runs wrote


def test_without_a_rival_there_is_no_regret(tmp_path):
    job(tmp_path, 0, "auto", 0, 0.9, advice=ADVICE)
    assert regrets(read_sweep(tmp_path)) == {}
    report(tmp_path)
    assert not (tmp_path / "regret.json").exists()
