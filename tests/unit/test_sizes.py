import csv
import json

import pytest
from sized_sweeps import SIZES, accuracy, add, fill

from regraft.errors import RegraftError
from regraft.outlook import of_run
from regraft.sizes import curves


def test_a_sweep_over_the_size_is_a_curve(tmp_path):
    [(name, found)] = curves(fill(tmp_path), 0.9).items()
    assert name == "feature_extraction"
    assert found.per_class_now == 40
    assert (found.num_classes, found.val_images) == (10, 180)
    assert [point.per_class for point in found.points] == [n for n in SIZES for _ in range(3)]
    assert found.per_class_total["estimate"] == pytest.approx(130, abs=15)  # (0.6 / 0.053) ** 2
    assert found.images_total["estimate"] == 10 * found.per_class_total["estimate"]
    assert not found.by_class  # predictions.csv is not there


def test_whatever_else_was_swept_has_a_curve_of_its_own(tmp_path):
    fill(tmp_path, "strategy=finetune", "optimizer.lr=1")
    fill(tmp_path, "strategy=scratch", "optimizer.lr=1", less=0.2)
    found = curves(tmp_path, 0.9)
    assert list(found) == ["finetune", "scratch"]
    assert found["finetune"].asymptote["acc"] > found["scratch"].asymptote["acc"] + 0.1


def test_a_fraction_is_a_size_too(tmp_path):
    for n in SIZES:
        for seed in range(3):
            data = {"classes": 10, "train": 10 * n + 3, "val": 180}
            add(tmp_path, None, seed, accuracy(n, seed), f"data.fraction={n / 40}", data=data)
    [found] = curves(tmp_path, 0.9).values()
    assert found.per_class_now == 40


def test_classes_come_from_the_predictions_for_validation_images(tmp_path):
    for folder in fill(tmp_path).glob("[0-9]*"):
        with (folder / "predictions.csv").open("w", newline="") as file:
            rows = [("val", "a", "cat", "cat"), ("val", "b", "cat", "owl, big")]
            rows += [("val", "c", "owl, big", "owl, big"), ("test", "d", "cat", "pug")]
            csv.writer(file).writerows([("split", "name", "true", "predicted"), *rows])
    [found] = curves(tmp_path, 0.9).values()
    assert [(one.name, one.val_images) for one in found.by_class] == [("cat", 2), ("owl, big", 1)]
    assert found.by_class[0].mistaken_for == {"owl, big": 0.5}
    assert found.by_class[0].at_2x is None


@pytest.mark.parametrize(
    ("sizes", "seeds", "missing"),
    [
        ((5, 10), (0, 1, 2), r"5 \(3\), 10 \(3\); add sizes to data.per_class"),
        (SIZES, (0, 1), r"5 \(2\), .* 40 \(2\); train each with seed=0,1,2"),
        ((5, 10), (4, 7), r"add sizes .* and train each with seed=0,1,2"),
    ],
)
def test_what_is_missing_is_said(tmp_path, sizes, seeds, missing):
    with pytest.raises(RegraftError, match=missing):
        curves(fill(tmp_path, sizes=sizes, seeds=seeds), 0.9)


def test_failed_jobs_are_left_out_or_named(tmp_path):
    fill(tmp_path)
    broken = {"status": "failed", "error": "out of memory", "metrics": {}}
    add(tmp_path, 80, 0, 0.0, **broken)
    [found] = curves(tmp_path, 0.9).values()
    assert found.per_class_now == 40
    for number in (0, 3):
        path = tmp_path / str(number) / "result.json"
        path.write_text(json.dumps(json.loads(path.read_text()) | broken))
    with pytest.raises(RegraftError, match=r"3 of 13 jobs have no result \(regraft resume\)"):
        curves(tmp_path, 0.9)


def test_a_sweep_over_something_else_is_told_what_to_type(tmp_path):
    fill(tmp_path, "strategy=finetune", sizes=(40,))
    fill(tmp_path, "strategy=scratch", sizes=(40,))
    words = ["hydra.mode=MULTIRUN", "strategy=finetune,scratch", "seed=0,1,2", "data.per_class=40"]
    (tmp_path / "sweep.json").write_text(json.dumps({"jobs": 6, "words": words}))
    wanted = (
        "did not vary the size .* regraft train -m strategy=finetune,scratch "
        "data.per_class=5,10,20,40 seed=0,1,2$"
    )
    with pytest.raises(RegraftError, match=wanted):
        curves(tmp_path, 0.9)


def test_a_run_that_trained_its_trunk_is_told_what_to_type(tmp_path):
    plan = [{"stage": "stem", "action": "keep"}, {"stage": "top", "action": "tune"}]
    folder = add(tmp_path, 40, 3, 0.9, "strategy=finetune", "data.root=my pictures", plan=plan)
    wanted = (
        "trained its trunk, .* regraft train -m strategy=finetune 'data.root=my pictures' "
        "data.per_class=5,10,20,40 seed=0,1,2; then regraft forecast outputs/sweeps/"
    )
    with pytest.raises(RegraftError, match=wanted):
        of_run(folder, None)


def test_data_that_cannot_be_made_smaller_has_no_curve(tmp_path):
    plan = [{"stage": "top", "action": "tune"}]
    folder = add(tmp_path, 2, 0, 0.9, plan=plan)
    with pytest.raises(RegraftError, match="trained on 2 images per class, .* three sizes"):
        of_run(folder, None)
    (folder / "config.yaml").write_text("data: {_target_: other}\n")
    with pytest.raises(RegraftError, match="no per_class and no fraction"):
        of_run(folder, None)


def test_a_run_that_has_not_finished_is_refused(tmp_path):
    folder = add(tmp_path, 40, 0, 0.9, status="failed", error="the disk is full")
    with pytest.raises(RegraftError, match=r"not finished \(the disk is full\): .* regraft resume"):
        of_run(folder, None)
