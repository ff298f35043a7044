"""`regraft ensemble` on runs as they lie on the disk."""

import json
import shutil
from dataclasses import replace

import numpy as np
import pytest
from finished_runs import CLASSES, finished, opinion, sweep, truth
from hypothesis import given, settings
from hypothesis import strategies as st
from pictures import pixels
from rich.console import Console

from regraft import predictions, trust
from regraft.cli import main
from regraft.ensemble import files
from regraft.ensemble.choose import combine, differ
from regraft.ensemble.combine import Score, mixture, score
from regraft.ensemble.members import gather
from regraft.ensemble.show import show
from regraft.errors import RegraftError
from regraft.report import report
from regraft.statistics import mcnemar, wilson


def answer(*folders, where=None, method="all", out=None, capsys):
    """What --json prints."""
    choices = {"where": where or {}, "method": method, "out": out, "soup": False, "as_json": True}
    show(folders, Console(), **choices)
    return json.loads(capsys.readouterr().out)


def rewrite(run, change):
    """Write a run's predictions again: `change` takes and gives classes and splits."""
    path = run / predictions.NAME
    classes, splits = predictions.read(path)
    rows = {s: (one.names, one.true, one.probabilities) for s, one in splits.items()}
    predictions.write(path, *change(classes, rows))


def test_the_chosen_one_is_the_best_on_validation_images_and_judged_on_test(tmp_path, capsys):
    told = answer(sweep(tmp_path), capsys=capsys)
    by_val = {
        name: (one["metrics"]["val/acc"], -one["metrics"]["val/loss"])
        for name, one in told["tried"].items()
    }
    assert list(by_val) == ["best", "greedy", "weighted", "mean"]
    assert told["method"] == max(by_val, key=by_val.get)
    classes, splits = predictions.read(tmp_path / "ensemble" / "predictions.csv")
    assert classes == CLASSES
    for split, said in splits.items():
        right = float((said.predicted == said.true).mean())
        chosen = told["tried"][told["method"]]["metrics"]
        assert right == pytest.approx(chosen[f"{split}/acc"], abs=1e-6)
        weighed = sum(
            one["weight"] * predictions.read(tmp_path / one["folder"] / predictions.NAME)[1][split]
            .probabilities
            for one in told["members"]
        )  # fmt: skip
        assert np.abs(weighed - said.probabilities).max() < 3e-6


def test_the_test_images_choose_nothing(tmp_path, capsys):
    """With all test answers turned round the same is chosen, with the same weights."""
    before = answer(sweep(tmp_path / "a"), capsys=capsys)
    shutil.copytree(tmp_path / "a", tmp_path / "b", ignore=shutil.ignore_patterns("ensemble"))
    for number in range(3):

        def turned(classes, splits):
            names, labels, shares = splits["test"]
            return classes, {**splits, "test": (names, labels, shares[:, ::-1])}

        rewrite(tmp_path / "b" / str(number), turned)
    after = answer(tmp_path / "b", capsys=capsys)
    assert after["method"] == before["method"]
    for name in before["tried"]:
        assert after["tried"][name]["weights"] == before["tried"][name]["weights"]
    assert after["tried"]["mean"]["metrics"]["test/acc"] < 0.5


@given(st.lists(st.integers(0, 2**16), min_size=2, max_size=5, unique=True), st.integers(2, 30))
@settings(max_examples=25, deadline=None)
def test_it_is_never_below_the_best_member_on_validation_images(tmp_path_factory, seeds, images):
    folder = tmp_path_factory.mktemp("sweep")
    for number, seed in enumerate(seeds):
        said = {}
        for split, shift in (("val", 0), ("test", 1)):
            names, labels = truth(split, images)
            said[split] = names, labels, opinion(seed + shift, labels)
        finished(folder / str(number), said)
    members = gather([folder], {})
    for method in ("all", "mean", "weighted", "greedy"):
        made = combine(members, method)
        assert made.chosen.scores["val"].rank >= max(run.val.rank for run in members.runs)
        assert made.pays == (len(made.chosen.used) > 1)
    shutil.rmtree(folder)


def test_the_order_of_images_classes_and_folders_changes_nothing(tmp_path, capsys):
    before = answer(sweep(tmp_path / "a"), capsys=capsys)
    picture = (tmp_path / "a/ensemble/ensemble.png").read_bytes()
    shutil.copytree(tmp_path / "a", tmp_path / "b", ignore=shutil.ignore_patterns("ensemble"))
    for number in range(3):
        rng = np.random.default_rng(number)

        def shuffled(classes, splits, rng=rng):
            order = rng.permutation(len(classes))
            made = {}
            for split, (names, labels, shares) in reversed(splits.items()):
                rows = rng.permutation(len(labels))
                mixed = np.argsort(order)[labels[rows]], shares[np.ix_(rows, order)]
                made[split] = (tuple(names[row] for row in rows), *mixed)
            return tuple(classes[c] for c in order), made

        rewrite(tmp_path / "b" / str(number), shuffled)
    runs = [tmp_path / "b" / number for number in "201"]
    assert answer(*runs, capsys=capsys) == before
    assert (tmp_path / "b/ensemble/ensemble.png").read_bytes() == picture


def test_class_names_of_any_kind_are_shown_and_not_obeyed(tmp_path, capsys):
    classes = ("=1+1", "[red]a[/]", "a|b\n", 'c,"d"')
    answer(sweep(tmp_path, classes=classes), capsys=capsys)
    assert predictions.read(tmp_path / "ensemble/predictions.csv")[0] == tuple(sorted(classes))
    show([tmp_path], Console(), where={}, method="all", out=None, soup=False, as_json=False)


def test_what_is_left_out_is_said(tmp_path, capsys):
    sweep(tmp_path)
    for name, status in (("3", "failed"), ("4", "running")):
        (tmp_path / name).mkdir()
        record = {"status": status, "error": "[b]out of | memory", "seed": 3}
        (tmp_path / name / "result.json").write_text(json.dumps(record))
    told = answer(tmp_path, capsys=capsys)
    assert [one["folder"] for one in told["left_out"]] == ["3", "4"]
    assert len(told["members"]) == 3
    show([tmp_path], Console(), where={}, method="all", out=None, soup=False, as_json=False)
    printed = capsys.readouterr().out
    assert "left out: run 3: [b]out of | memory" in printed
    assert r"run 3: \[b\]out of \| memory" in (tmp_path / "ensemble/ensemble.md").read_text()


def test_where_takes_some_of_the_runs(tmp_path):
    sweep(tmp_path)
    path = tmp_path / "0" / "result.json"
    path.write_text(path.read_text().replace("finetune", "scratch"))
    taken = gather([tmp_path], {"strategy": "finetune"})
    assert sorted(run.label for run in taken.runs) == ["1", "2"]
    with pytest.raises(RegraftError, match="1 finished run; an ensemble needs at least two"):
        gather([tmp_path], {"seed": "1"})
    with pytest.raises(RegraftError, match="seed=9: no job"):
        gather([tmp_path], {"seed": "9"})


def other_images(classes, splits):
    names, labels, shares = splits["val"]
    return classes, {**splits, "val": (("strange.png", *names[1:]), labels, shares)}


def other_labels(classes, splits):
    names, labels, shares = splits["test"]
    return classes, {**splits, "test": (names, (labels + 1) % len(classes), shares)}


def other_classes(classes, splits):
    return ("cat", "dog", "fox"), splits


def fewer(classes, splits):
    return classes, {**splits, "test": tuple(part[:-1] for part in splits["test"])}


def no_test(classes, splits):
    return classes, {"val": splits["val"]}


@pytest.mark.parametrize(
    ("change", "words"),
    [
        (other_images, "2 was judged on other val images than .*0, as only it has 'strange.png'"),
        (other_labels, "2 knows other test labels than .*0: test/000.png is 'dog', not 'cat'"),
        (other_classes, "2 has other classes than .*0, as only it has 'fox'"),
        (fewer, "2 was judged on other test images than .*0, as it lacks 'test/089.png'"),
        (no_test, r"predictions\.csv holds no test images"),
    ],
)
def test_runs_that_cannot_be_paired_are_refused_in_one_line(change, words, tmp_path):
    rewrite(sweep(tmp_path) / "2", change)
    with pytest.raises(RegraftError, match=words) as error:
        gather([tmp_path], {})
    assert "\n" not in str(error.value)


def test_of_mixed_data_sets_the_line_says_which_to_choose(tmp_path):
    sweep(tmp_path)
    rewrite(tmp_path / "2", other_classes)
    for number, data in enumerate(("digits", "digits", "fractals")):
        path = tmp_path / str(number) / "result.json"
        record = json.loads(path.read_text())
        record["overrides"].append(f"data={data}")
        record["choices"]["data"] = data
        path.write_text(json.dumps(record))
    with pytest.raises(RegraftError, match="combine runs on the same data: --where data=digits"):
        gather([tmp_path], {})
    assert len(gather([tmp_path], {"data": "digits"}).runs) == 2


def test_too_few_runs_are_refused(tmp_path):
    with pytest.raises(RegraftError, match="not a folder"):
        gather([tmp_path / "nothing"], {})
    with pytest.raises(RegraftError, match="holds no job folders"):
        gather([tmp_path], {})
    sweep(tmp_path, skills=(1.0,))
    for folder in (tmp_path, tmp_path / "0"):
        with pytest.raises(RegraftError, match="1 finished run; an ensemble needs at least two"):
            gather([folder, folder], {})  # the same one twice is one
    (tmp_path / "0" / "result.json").write_text('{"status": "failed", "error": "why"}')
    with pytest.raises(RegraftError, match=r"0 finished runs, 1 without a result \(why\)"):
        gather([tmp_path], {})


def test_runs_without_probabilities_are_refused(tmp_path):
    (sweep(tmp_path) / "1" / predictions.NAME).unlink()
    with pytest.raises(RegraftError, match=r"1/predictions\.csv is missing"):
        gather([tmp_path], {})


def test_when_no_combination_is_better_that_is_said(tmp_path, capsys):
    """Two copies of one run, and a poor one; in a terminal of the usual width."""
    sweep(tmp_path, skills=(4.0, -4.0))
    shutil.copytree(tmp_path / "0", tmp_path / "2")
    show([tmp_path], Console(width=80), where={}, method="all", out=None, soup=False, as_json=False)
    out = capsys.readouterr().out
    assert "\nbest member alone *" in out and " 95 % interval" in out and " params" in out
    printed = " ".join(out.split())
    assert (
        "no combination beats the best member alone on the validation images: use run 0" in printed
    )
    show([tmp_path], Console(), where={}, method="mean", out=None, soup=False, as_json=False)
    assert "mean does not beat" in " ".join(capsys.readouterr().out.split())
    told = answer(tmp_path, capsys=capsys)
    assert (told["method"], told["combined"], told["better"]) == ("best", False, False)
    assert [one["weight"] for one in told["members"]] == [1, 0, 0]
    assert told["difference"]["p"] == 1


def test_what_it_were_without_a_member_and_what_it_costs(tmp_path):
    sweep(tmp_path, skills=(1.0, 1.1, 0.9, 1.0))
    made = combine(gather([tmp_path], {}), "mean")
    members, labels = made.members.of("val"), made.members.labels["val"]
    if not made.pays:
        pytest.fail("this sweep is meant to be worth an ensemble")
    assert made.without(1) == score(mixture(members, np.array([1, 0, 1, 1])), labels)
    alone = replace(made, tried=made.tried[:1])
    assert alone.without(alone.best.used[0]) is None
    assert made.cost(made.chosen) == {"params_total": 4000, "fit_s": 8.0, "passes": 4}
    assert made.cost(made.best) == {"params_total": 1000, "fit_s": 2.0, "passes": 1}


@pytest.mark.parametrize(
    ("losses", "chosen"),
    [
        ((0.50051, 0.50049, 0.6, 0.6), "best"),  # on both sides of what would be rounded
        ((0.5020, 0.5005, 0.5001, 0.6), "greedy"),
        ((0.5020, 0.5012, 0.5001, 0.6), "weighted"),
    ],
)
def test_a_loss_that_is_hardly_less_is_no_reason_for_another_network(losses, chosen, tmp_path):
    made = combine(gather([sweep(tmp_path)], {}), "all")
    tried = [
        replace(one, scores={**one.scores, "val": Score(0.9, loss)})
        for one, loss in zip(made.tried, losses, strict=True)
    ]
    assert replace(made, tried=tuple(tried)).chosen.method == chosen


def test_a_cost_that_one_run_does_not_tell_is_unknown(tmp_path, capsys):
    sweep(tmp_path)
    path = tmp_path / "1" / "result.json"
    path.write_text(json.dumps(json.loads(path.read_text()) | {"cost": {}}))
    told = answer(tmp_path, capsys=capsys)
    assert told["tried"]["mean"]["cost"] == {"params_total": None, "fit_s": None, "passes": 3}


def test_the_difference_is_tested_by_mcnemar():
    labels = np.zeros(100, dtype=int)
    first, second = (np.tile([0.4, 0.6], (100, 1)) for _ in range(2))
    first[:90] = second[:80] = second[92:95] = [0.6, 0.4]
    found = differ(first, second, labels)
    assert (found.only_first, found.only_second) == (10, 3)
    assert found.acc == pytest.approx(0.07)
    assert found.p == mcnemar(10, 3)
    assert found.interval[0] < 0 < 0.07 < found.interval[1]
    assert "cannot be told apart" in found.words
    assert "cannot" not in differ(first, 1 - first, labels).words


def test_the_picture_shows_dark_marks_on_white(tmp_path, capsys):
    answer(sweep(tmp_path), capsys=capsys)
    shades = pixels(tmp_path / "ensemble/ensemble.png")
    assert shades.min() < 60 and (shades > 250).mean() > 0.8


def test_intervals_are_those_of_wilson(tmp_path):
    made = combine(gather([sweep(tmp_path)], {}), "mean")
    [line] = [line for line in files.lines(made) if line.name.startswith("mean")]
    assert line.interval == wilson(made.tried[1].scores["test"].acc, 90)


def test_a_sweeps_report_is_not_confused_by_it(tmp_path, capsys):
    before = report(sweep(tmp_path)).sweep
    table = (tmp_path / "sweep.md").read_bytes()
    answer(tmp_path, capsys=capsys)
    shutil.copytree(tmp_path / "0", tmp_path / "soup")
    assert report(tmp_path).sweep.jobs == before.jobs
    assert (tmp_path / "sweep.md").read_bytes() == table


def test_a_soup_is_a_run_that_can_be_a_member(tmp_path):
    shutil.copytree(sweep(tmp_path) / "0", tmp_path / "soup")
    members = gather([tmp_path, tmp_path / "soup"], {})
    assert sorted(run.label for run in members.runs) == ["0", "1", "2", "soup"]


def test_it_is_written_whole_or_not_at_all(tmp_path, capsys, monkeypatch):
    answer(sweep(tmp_path), method="mean", capsys=capsys)
    before = {path.name: path.read_bytes() for path in (tmp_path / "ensemble").iterdir()}
    assert sorted(before) == ["ensemble.json", "ensemble.md", "ensemble.png", "predictions.csv"]

    def full(*_):
        raise OSError(28, "No space left on device")

    monkeypatch.setattr(files, "write_whole", full)
    with pytest.raises(RegraftError, match="cannot write .*ensemble: No space left"):
        answer(tmp_path, method="greedy", capsys=capsys)
    assert {path.name: path.read_bytes() for path in (tmp_path / "ensemble").iterdir()} == before
    assert not [path for path in tmp_path.iterdir() if path.name.startswith(".")]


def test_what_is_not_its_own_is_not_replaced(tmp_path, capsys):
    (sweep(tmp_path) / "ensemble").mkdir()
    (tmp_path / "ensemble" / "thesis.tex").write_text("all of it")
    with pytest.raises(RegraftError, match="ensemble holds other things: rename it"):
        answer(tmp_path, capsys=capsys)
    assert (tmp_path / "ensemble" / "thesis.tex").exists()


def test_runs_of_several_places_want_a_place(tmp_path, capsys):
    folders = [sweep(tmp_path / "a"), sweep(tmp_path / "b", skills=(1.5, 0.5))]
    with pytest.raises(RegraftError, match="2 folders .* add --out FOLDER"):
        answer(*folders, capsys=capsys)
    told = answer(*folders, out=tmp_path / "new", capsys=capsys)
    assert {one["folder"] for one in told["members"]} == {
        *(f"../a/{number}" for number in range(3)), "../b/0", "../b/1",
    }  # fmt: skip
    assert (tmp_path / "new" / "ensemble" / "ensemble.json").exists()


def command(monkeypatch, capsys, *words):
    """Exit code, output and errors of `regraft <words>`."""
    monkeypatch.setattr("sys.argv", ["regraft", *map(str, words)])
    with pytest.raises(SystemExit) as stop:
        main()
    told = capsys.readouterr()
    return stop.value.code, told.out, told.err


def test_the_command(tmp_path, monkeypatch, capsys):
    sweep(tmp_path)
    code, out, _ = command(monkeypatch, capsys, "ensemble", tmp_path)
    assert not code
    assert "3 runs, judged on the same 60 validation and 90 test images of 3 classes" in out
    assert "best member alone" in out and "networks per image instead of 1" in out
    code, out, err = command(monkeypatch, capsys, "ensemble", tmp_path, "--method", "weigthed")
    assert (code, out) == (1, "")
    assert err == "error: --method weigthed: no such method; did you mean 'weighted'?\n"
    code, out, err = command(monkeypatch, capsys, "ensemble", tmp_path, "--where", "seed")
    assert (code, err) == (
        1,
        "error: --where seed: give KEY=VALUE, as in --where strategy=finetune\n",
    )


def test_a_package_is_trusted_as_in_training(monkeypatch):
    """A soup builds the networks of its runs."""
    monkeypatch.setenv(trust.TRUST, "")
    trust.users.cache_clear()
    seen = []
    monkeypatch.setattr("regraft.ensemble.show.show", lambda *_, **__: seen.append(trust.users()))
    monkeypatch.setattr("sys.argv", ["regraft", "ensemble", "x", "--soup", "--trust=their_heads"])
    try:
        with pytest.raises(SystemExit) as end:
            main()
    finally:
        monkeypatch.undo()
        trust.users.cache_clear()
    assert (end.value.code or 0, seen) == (0, [("their_heads.",)])
