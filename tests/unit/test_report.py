import csv
import io
import itertools
import json
import re
from dataclasses import replace

import numpy as np
import pytest
from PIL import Image
from rich.console import Console

from regraft.comparison import read_sweep, textbook_held
from regraft.errors import RegraftError
from regraft.figures import fonts, pareto, quadrants
from regraft.jobs import read_jobs
from regraft.page import write
from regraft.report import costs_of, line, panel, report, show
from regraft.statistics import compare
from regraft.tables import seeds

BOOK = {
    "feature_extraction": "small_similar",
    "finetune": "big_similar",
    "scratch": "big_dissimilar",
    "collect": "small_dissimilar",
}
WORDS = "about 35 more labelled images per class (20 to 60) would reach 0.95"


def add(folder, number, acc, *, seed=0, strategy="finetune", overrides=(), **changes):
    """Write a job that finished with this test accuracy; `acc` None: it failed."""
    quadrant = changes.pop("quadrant", None)
    words = [f"strategy={strategy}", f"seed={seed}", *overrides]
    choices = {"strategy": strategy, "backbone": "resnet", "data": "digits", "head": "linear"}
    result = {
        "status": "finished" if acc is not None else "failed",
        "error": None if acc is not None else "RegraftError: a | b\n<c>",
        "choices": {**choices, **({"quadrant": quadrant} if quadrant else {})},
        "overrides": [*words, *([f"quadrant={quadrant}"] if quadrant else [])],
        "seed": seed,
        "strategy": {"name": strategy, "quadrant": BOOK.get(strategy)},
        "quadrant": {"name": quadrant} if quadrant else None,
        "metrics": {"val/acc": 0.5, "test/acc": acc} if acc is not None else {},
        "cost": {"wall_s": 2.0, "params_trained": 1000} if acc is not None else {},
        "data": {"name": "digits", "classes": 10, "train": 50, "val": 100, "test": 400},
        "forecast": None,
    }
    result.update(changes)
    job = folder / str(number)
    job.mkdir(parents=True)
    (job / "result.json").write_text(json.dumps(result))
    return job


def answer(job, correct):
    """Write the predictions of a job, with one of the validation split that must not count."""
    rows = [f"test,test/{i},x,{'x' if right else 'y'},0.5,0.5" for i, right in enumerate(correct)]
    text = "\n".join(["split,name,true,predicted,p_x,p_y", "val,val/0,x,y,0.5,0.5", *rows])
    (job / "predictions.csv").write_text(text + "\n")


def sweep_of_quadrants(folder, seeds=(0, 1, 2)):
    accs = {"feature_extraction": 0.8, "finetune": 0.9, "scratch": 0.2, "collect": 0.795}
    number = 0
    for quadrant in BOOK.values():
        for strategy, acc in accs.items():
            for seed in seeds:
                noise = 0.004 * ((number * 7) % 5)
                forecast = {"target_acc": 0.95, "words": WORDS} if strategy == "collect" else None
                place = {"strategy": strategy, "quadrant": quadrant, "forecast": forecast}
                add(folder, number, acc + noise, seed=seed, **place)
                number += 1
    return folder


@pytest.mark.parametrize(
    ("planned", "said"), [(3, "1 job, 0 failed, 2 never started"), (1, "1 job, 0 failed;")]
)
def test_jobs_that_were_never_started_are_counted(planned, said, tmp_path):
    add(tmp_path, 0, 0.9)
    (tmp_path / "sweep.json").write_text(json.dumps({"jobs": planned}))
    assert said in read_sweep(tmp_path).summary


def test_a_job_whose_seed_nobody_typed_has_the_seed_zero(tmp_path):
    for number, strategy in enumerate(("finetune", "scratch")):
        add(tmp_path, number, 0.9 - 0.1 * number, strategy=strategy)
        path = tmp_path / str(number) / "result.json"
        path.write_text(
            json.dumps(json.loads(path.read_text()) | {"overrides": [f"strategy={strategy}"]})
        )
    sweep = read_sweep(tmp_path)
    assert [job.seed for job in sweep.jobs] == [0, 0]
    assert "2 jobs, 0 failed" in sweep.summary
    assert [len(row.counted) for row in sweep.cells[0].rows] == [1, 1]


def test_of_how_many_seeds_some_failed_is_said(tmp_path):
    for number, (seed, acc) in enumerate([(0, 0.9), (1, None), (2, 0.8)]):
        add(tmp_path, number, acc, seed=seed)
    for number in (3, 4, 5):
        add(tmp_path, number, 0.7, seed=number - 3, strategy="scratch")
    found = {row.name: seeds(row) for row in read_sweep(tmp_path).cells[0].rows}
    assert found == {"finetune": "2 of 3", "scratch": "3"}


def test_the_textbooks_choice_is_marked_whoever_wins_and_holds_where_it_ties(tmp_path):
    lost, tied = tmp_path / "lost", tmp_path / "tied"
    for folder, best in ((lost, 0.95), (tied, 0.805)):
        for seed in range(3):
            place = {"seed": seed, "quadrant": "big_similar"}
            add(folder, 2 * seed, 0.8 + 0.004 * seed, strategy="finetune", **place)
            add(folder, 2 * seed + 1, best + 0.005 * seed, strategy="scratch", **place)
    for folder, held in ((lost, False), (tied, True)):
        [cell] = read_sweep(folder).cells
        assert textbook_held(cell) is held
        assert cell.verdict.best == "scratch"
        assert {bar.name: bar.textbook for bar in panel(cell).bars} == {
            "finetune": True,
            "scratch": False,
        }


def test_contenders_with_the_same_answers_are_one(tmp_path):
    """collect is feature_extraction and a forecast: it must not turn its win into a tie."""
    good, other = np.arange(400) >= 8, (np.arange(400) < 8) | (np.arange(400) >= 28)
    for number, (strategy, right) in enumerate(
        [("feature_extraction", good), ("finetune", other), ("collect", good)]
    ):
        answer(add(tmp_path, number, float(right.mean()), strategy=strategy), right)
    [cell] = read_sweep(tmp_path).cells
    alone = compare(cell.rows[0].scores, cell.rows[1].scores)

    assert cell.verdict.winners == ("feature_extraction", "collect")
    assert cell.verdict.comparisons["finetune"].p == alone.p  # corrected for one comparison only
    assert alone.p < 0.05 < 2 * alone.p


@pytest.fixture
def unpainted(monkeypatch):
    """For what a report says: its two slow pictures are left out."""
    monkeypatch.setattr(pareto, "draw", lambda *_, **__: None)
    monkeypatch.setattr(quadrants, "draw", lambda *_, **__: None)


def rows_of(folder):
    return list(csv.DictReader(io.StringIO((folder / "sweep.csv").read_text())))


def shown(made):
    console = Console(file=io.StringIO(), width=80)
    show(made, console)
    return console.file.getvalue()


def test_the_same_call_gives_the_same_bytes_and_leaves_nothing_else(tmp_path):
    sweep_of_quadrants(tmp_path)
    before = {path.name for path in tmp_path.iterdir()}
    made = report(tmp_path)
    first = {path: path.read_bytes() for path in made.files}
    assert {path: path.read_bytes() for path in report(tmp_path).files} == first
    names = {path.name for path in tmp_path.iterdir()} - before
    assert names == {p.name for p in made.files}
    assert names == {"sweep.csv", "sweep.md", "quadrants.png", "pareto.png"}  # no labels.png


def test_a_sweep_of_quadrants_says_who_won_and_whether_the_textbook_held(tmp_path):
    made = report(sweep_of_quadrants(tmp_path))
    text = (tmp_path / "sweep.md").read_text()
    assert [cell.title for cell in made.sweep.cells] == [
        "small_similar",
        "small_dissimilar",
        "big_similar",
        "big_dissimilar",
    ]
    assert all(cell.verdict.winners == ("finetune",) for cell in made.sweep.cells)
    assert "the textbook's choice, finetune, held." in text
    assert "the textbook's choice, feature_extraction, did not hold: finetune is better by" in text
    assert made.sweep.textbook == "The textbook's choice held in 1 of 4 cells."
    assert f"Forecast of collect: {WORDS}." in text
    assert "![" in text and "(quadrants.png)" in text
    with Image.open(tmp_path / "quadrants.png") as image:
        assert image.width == 1660


@pytest.mark.usefixtures("unpainted")
def test_the_terminal_shows_every_cell_and_fits_eighty_columns(tmp_path):
    text = shown(report(sweep_of_quadrants(tmp_path, seeds=(0,))))
    assert all(f"{quadrant}: digits, 10 classes × 5 images" in text for quadrant in BOOK.values())
    assert text.count("feature_extraction     0.8") == 4
    assert "winner" in text
    assert "one seed: interval over test images only" in text
    body = text.splitlines()[:-1]  # the last line is a path, which must stay whole
    assert max(len(line.rstrip()) for line in body) <= 80


@pytest.mark.usefixtures("unpainted")
def test_seeds_are_averaged_and_nothing_else(tmp_path):
    number = 0
    for head in ("linear", "mlp"):
        for seed in (0, 1):
            add(tmp_path, number, 0.5 + 0.1 * number, seed=seed, overrides=[f"head.width={head}"])
            number += 1
    (cell,) = report(tmp_path).sweep.cells
    means = {row.name: row.scores.mean for row in cell.rows}
    assert means == pytest.approx({"head.width=linear": 0.55, "head.width=mlp": 0.75})


def test_folds_are_averaged_and_their_test_images_counted_together(tmp_path):
    for number in range(10):
        strategy, fold = ("finetune", "scratch")[number % 2], number // 2
        words = [f"data.fold={fold}"]
        add(tmp_path, number, 0.9 - 0.2 * (number % 2), strategy=strategy, overrides=words)
        with (tmp_path / str(number) / "predictions.csv").open("w") as file:
            file.write("split,name,true,predicted,p_a\n")
            for image in range(20):
                right = image < 18 - 4 * (number % 2)
                file.write(f"test,{fold}/{image},a,{'a' if right else 'b'},1\n")
    sweep = report(tmp_path).sweep
    [cell] = sweep.cells
    assert [len(row.counted) for row in cell.rows] == [5, 5]
    assert cell.rows[0].scores.images == 100
    assert cell.verdict.winners == ("finetune",)
    assert "folds: 0, 1, 2, 3, 4" in sweep.summary
    text = (tmp_path / "sweep.csv").read_text()
    assert ",fold," in text.splitlines()[0]


def test_contenders_that_all_answer_alike_tie(tmp_path):
    for number, strategy in enumerate(("finetune", "scratch")):
        add(tmp_path, number, 0.5, strategy=strategy)
        (tmp_path / str(number) / "predictions.csv").write_text(
            "split,name,true,predicted,p_a\ntest,0,a,a,1\ntest,1,a,b,1\n"
        )
    [cell] = report(tmp_path).sweep.cells
    assert cell.verdict.winners == ("finetune", "scratch")
    assert [cell.mark(row) for row in cell.rows] == ["tie", "tie"]
    assert "finetune and scratch tie" in (tmp_path / "sweep.md").read_text()


@pytest.mark.usefixtures("unpainted")
def test_of_very_many_that_tie_the_number_is_told(tmp_path):
    for number in range(14):
        add(tmp_path, number, 0.5, strategy=f"s{number}")
    report(tmp_path)
    assert "14 of 14 tie (best: s0, 0.500)." in (tmp_path / "sweep.md").read_text()


def test_one_contender_alone_is_not_called_the_only_one_with_a_result(tmp_path):
    for fold in range(3):
        add(tmp_path, fold, 0.5, overrides=[f"data.fold={fold}"])
    report(tmp_path)
    text = (tmp_path / "sweep.md").read_text()
    assert "finetune has 0.500; nothing else was run to compare it with." in text


def test_other_settings_make_tables_of_their_own(tmp_path):
    number = 0
    for per_class in (5, 50):
        for strategy in ("finetune", "scratch"):
            override = [f"+data.per_class={per_class}"]
            add(tmp_path, number, 0.5, strategy=strategy, overrides=override)
            number += 1
    made = report(tmp_path)
    assert made.sweep.swept == ("strategy", "data.per_class")
    assert [cell.title for cell in made.sweep.cells] == ["data.per_class=5", "data.per_class=50"]
    assert [row.name for row in made.sweep.cells[0].rows] == ["finetune", "scratch"]
    assert not (tmp_path / "quadrants.png").exists()


@pytest.mark.usefixtures("unpainted")
def test_choices_that_differ_for_no_reason_seen_are_not_averaged(tmp_path):
    for number, backbone in enumerate(("resnet", "vit")):
        add(tmp_path, number, 0.5, choices={"strategy": "finetune", "backbone": backbone})
    assert report(tmp_path).sweep.swept == ("backbone",)


@pytest.mark.usefixtures("unpainted")
def test_what_a_strategy_chooses_is_not_taken_for_swept(tmp_path):
    for number, (strategy, freeze) in enumerate((("finetune", "none"), ("collect", "all"))):
        choices = {"strategy": strategy, "freeze": freeze}
        add(tmp_path, number, 0.5, strategy=strategy, choices=choices)
    assert report(tmp_path).sweep.swept == ("strategy",)


def test_failed_unfinished_and_damaged_jobs_are_listed_and_stop_nothing(tmp_path):
    add(tmp_path, 0, 0.8)
    add(tmp_path, 1, None, strategy="scratch")
    add(tmp_path, 2, 0.8, strategy="partial")
    (tmp_path / "2" / "result.json").write_text('{"status": "fini')
    (tmp_path / "10" / ".hydra").mkdir(parents=True)
    (tmp_path / "10" / ".hydra" / "overrides.yaml").write_text("- strategy=collect\n- seed=0\n")
    (tmp_path / "10" / ".hydra" / "hydra.yaml").write_text(
        "hydra: {runtime: {choices: {strategy: collect, backbone: resnet, hydra/help: x}}}\n"
    )
    add(tmp_path, 11, 0.5, strategy="gradual", metrics={"test/acc": float("nan")})
    (tmp_path / "12").mkdir()  # not a job: Hydra was never there
    made = report(tmp_path)
    rows = rows_of(tmp_path)
    assert [row["job"] for row in rows] == ["0", "1", "2", "10", "11"]
    assert [row["status"] for row in rows] == ["finished", "failed", "failed", "failed", "finished"]
    assert [row["strategy"] for row in rows] == ["finetune", "scratch", "", "collect", "gradual"]
    assert rows[1]["error"] == "RegraftError: a | b <c>"
    assert "damaged" in rows[2]["error"]
    assert "no result was written" in rows[3]["error"]
    assert "no test/acc" in rows[4]["error"]
    text = (tmp_path / "sweep.md").read_text()
    assert "| scratch | failed |" in text
    assert "| 1 | strategy=scratch, seed=0 | RegraftError: a \\| b \\<c\\> |" in text
    assert "5 jobs, 4 failed" in shown(made)
    assert "only finetune has a result" in text


def test_a_seed_that_was_no_number_fails_its_own_job_only(tmp_path):
    add(tmp_path, 0, 0.8)
    add(tmp_path, 1, None, seed="x")
    add(tmp_path, 2, 0.8, seed="y")  # nobody knows what this one repeats
    made = report(tmp_path)
    assert made.sweep.seeds == [0]
    assert [job.number for job in made.sweep.failed] == [1, 2]
    assert [row["seed"] for row in rows_of(tmp_path)] == ["0", "", ""]
    assert "3 jobs, 2 failed" in shown(made)
    assert "job 1 failed (seed=x): " in shown(made)


def test_a_sweep_in_which_all_failed_still_has_a_report(tmp_path):
    for number in range(2):
        add(tmp_path, number, None, seed=number)
    assert "no job has a result" in shown(report(tmp_path))
    assert len(rows_of(tmp_path)) == 2


def test_result_files_of_the_wrong_shape_are_damaged_not_a_crash(tmp_path):
    add(tmp_path, 0, 0.8)
    odd = {"seed": None, "metrics": [], "choices": 3, "overrides": "x", "data": None, "cost": 1}
    add(tmp_path, 1, 0.8, **odd, strategy="x", forecast={"words": 3})
    (tmp_path / "2").mkdir()
    (tmp_path / "2" / "result.json").write_bytes(b"\xff\xfe[]")
    add(tmp_path, 3, 0.8, status="running")
    add(tmp_path, 4, 1.5)
    assert [job.number for job in report(tmp_path).sweep.failed] == [1, 2, 3, 4]


def test_names_and_errors_cannot_break_the_markdown(tmp_path):
    add(tmp_path, 0, 0.8, strategy="a|b\n# `x`")
    add(tmp_path, 1, 0.7, strategy="__init__ $x$")
    made = report(tmp_path)
    text = (tmp_path / "sweep.md").read_text()
    assert "| a\\|b # \\`x\\` |" in text
    assert "| \\_\\_init\\_\\_ \\$x\\$ |" in text
    columns = {line.replace("\\|", "").count("|") for line in text.splitlines() if line[:1] == "|"}
    assert columns == {10}
    assert "a|b # `x`" in shown(made)


@pytest.mark.usefixtures("unpainted")
def test_with_one_seed_the_answers_decide(tmp_path):
    right = np.arange(400) >= 30
    better = np.arange(400) >= 18
    a = add(tmp_path, 0, right.mean(), strategy="finetune")
    b = add(tmp_path, 1, better.mean(), strategy="scratch")
    assert report(tmp_path).sweep.cells[0].verdict.winners == ("finetune", "scratch")
    answer(a, right)
    answer(b, better)
    assert report(tmp_path).sweep.cells[0].verdict.winners == ("scratch",)
    assert "† one seed: interval over test images only" in (tmp_path / "sweep.md").read_text()
    for cut_off in ("split,name\ntest", "split,name,true,predicted,p_x\ntest,test/0"):
        (b / "predictions.csv").write_text(cut_off)
        assert report(tmp_path).sweep.cells[0].verdict.winners == ("finetune", "scratch")


@pytest.mark.usefixtures("unpainted")
@pytest.mark.parametrize(
    ("accs", "said"),
    [
        ([(0.9, 0.6), (0.92, 0.8)], "tie (best: finetune, 0.910): 2 runs each cannot tell them"),
        ([(0.9, 0.89), (0.92, 0.9)], "tie (best: finetune, 0.910)."),  # the images do not either
        ([(0.9, 0.6), (0.9, 0.9), (0.9, 0.95), (0.9, 0.7)], "tie (best: finetune, 0.900)."),
    ],
)
def test_a_tie_of_unlike_accuracies_says_when_the_runs_are_too_few(accs, said, tmp_path):
    pairs = [(seed, number) for seed in range(len(accs)) for number in (0, 1)]
    for job, (seed, number) in enumerate(pairs):
        strategy = ("finetune", "scratch")[number]
        add(tmp_path, job, accs[seed][number], seed=seed, strategy=strategy)
    assert said in (report(tmp_path).files[1]).read_text()


@pytest.mark.usefixtures("unpainted")
@pytest.mark.parametrize(
    ("seeds", "folds", "said"),
    [
        ((0, 1, 2), (), "With 3 seeds, a lead of [0-9.]+ points would have been seen in 8 of 10"),
        ((0,), (), "With one seed, a lead of [0-9.]+ points of one network would have been seen"),
        ((0,), (0, 1, 2, 3), "With 4 folds, a lead of [0-9.]+ points would have been seen in 8"),
    ],
)
def test_a_report_says_which_lead_these_runs_could_have_shown(seeds, folds, said, tmp_path):
    places = [
        (strategy, seed, [f"data.fold={fold}"] if folds else [])
        for strategy in ("finetune", "scratch")
        for fold in folds or (None,)
        for seed in seeds
    ]
    for number, (strategy, seed, words) in enumerate(places):
        acc = 0.9 - 0.02 * (strategy == "scratch") + 0.003 * (7 * number % 4)
        add(tmp_path, number, acc, seed=seed, strategy=strategy, overrides=words)
    made = report(tmp_path)
    texts = tuple(path for path in made.files if path.suffix != ".png")
    page = write.page(replace(made, files=texts))
    for text in ((tmp_path / "sweep.md").read_text(), shown(made), page):
        assert re.search(said, " ".join(text.split()))


def test_a_sweep_is_drawn_with_the_font_that_its_jobs_asked_for(tmp_path, monkeypatch):
    asked = []
    monkeypatch.setattr(pareto, "draw", lambda *_, **__: asked.append(fonts.families()[0]))
    for number, strategy in enumerate(("finetune", "scratch")):
        add(tmp_path, number, 0.9, strategy=strategy, figures={"font": "DejaVu Serif"})
    report(tmp_path)
    assert asked == ["DejaVu Serif"]
    assert fonts.families() == ["DejaVu Sans"]


@pytest.mark.usefixtures("unpainted")
def test_what_was_compared_with_nothing_could_have_shown_no_lead(tmp_path):
    add(tmp_path, 0, 0.9)
    assert "would have been seen" not in shown(report(tmp_path))


@pytest.mark.usefixtures("unpainted")
def test_equal_accuracies_without_spread_are_a_tie(tmp_path):
    for number in range(6):
        strategy = ("finetune", "scratch")[number % 2]
        add(tmp_path, number, 1.0, seed=number // 2, strategy=strategy, quadrant="big_similar")
    text = shown(report(tmp_path))
    assert "finetune and scratch tie (best: finetune, 1.000)" in text
    assert "the textbook's choice, finetune, held" in " ".join(text.split())


def test_a_failed_textbook_choice_neither_held_nor_not(tmp_path):
    add(tmp_path, 0, None, quadrant="big_similar")
    add(tmp_path, 1, 0.8, quadrant="big_similar", strategy="scratch")
    add(tmp_path, 2, 0.7, quadrant="big_similar", strategy="collect")
    made = report(tmp_path)
    assert "the textbook's choice, finetune, has no result" in " ".join(shown(made).split())
    assert made.sweep.textbook == ""


def test_a_repeated_job_counts_once_the_later_one(tmp_path):
    add(tmp_path, 2, 0.4)
    add(tmp_path, 10, 0.6)
    ((row,),) = (cell.rows for cell in report(tmp_path).sweep.cells)
    assert list(row.scores.acc.values()) == [0.6]


def test_quadrants_of_two_backbones_are_two_pictures(tmp_path):
    places = itertools.product(("resnet", "vit"), ("small_similar", "big_similar"), BOOK)
    for number, (backbone, quadrant, strategy) in enumerate(places):
        choices = {"strategy": strategy, "backbone": backbone, "quadrant": quadrant}
        place = {"strategy": strategy, "quadrant": quadrant, "choices": choices}
        add(tmp_path, number, 0.5, overrides=[f"backbone={backbone}"], **place)
    names = [path.name for path in report(tmp_path).files]
    assert names == ["sweep.csv", "sweep.md", "quadrants.png", "quadrants-2.png", "pareto.png"]


def test_seconds_do_not_tell_which_job_made_the_pretrained_weights(tmp_path):
    for number, (wall, phase) in enumerate([(70.0, 62.0), (8.5, 0.5)]):
        cost = {"wall_s": wall, "pretrain_s": 60.0, "params_trained": 1000}
        words = [f"head.width={number}"]
        add(tmp_path, number, 0.8, overrides=words, cost=cost, pretrain={"seconds": phase})
    add(tmp_path, 2, 0.7, overrides=["head.width=2"])
    made = report(tmp_path)
    (cell,) = made.sweep.cells
    assert sorted(costs_of(row)["wall_s"] for row in cell.rows) == [2.0, 68.0, 68.0]
    assert sorted(line(cell, row)[4].plain for row in cell.rows) == ["2.0", "68.0", "68.0"]
    assert (tmp_path / "sweep.md").read_text().count("| 68.0 |") == 2
    assert [row["cost/wall_s"] for row in rows_of(tmp_path)] == ["70.0", "8.5", "2.0"]


@pytest.mark.parametrize("pretrain", [None, 1, {}, {"seconds": "x"}])
def test_seconds_without_a_known_phase_are_those_of_the_job(pretrain, tmp_path):
    cost = {"wall_s": 9.0, "pretrain_s": 60.0}
    add(tmp_path, 0, 0.8, cost=cost, pretrain=pretrain)
    assert read_jobs(tmp_path)[0].compared == cost


def test_settings_seed_metrics_cost_and_data_are_columns(tmp_path):
    add(tmp_path, 0, 0.8, overrides=["head.width=3"])
    add(tmp_path, 1, 0.7, overrides=["head.width=4"])
    report(tmp_path)
    row = rows_of(tmp_path)[1]
    assert list(row)[:4] == ["job", "status", "error", "head.width"]
    assert row["head.width"] == "4"
    assert row["seed"] == "0"
    assert row["test/acc"] == "0.7"
    assert row["cost/wall_s"] == "2.0"
    assert row["data/test"] == "400"
    assert row["backbone"] == "resnet"


@pytest.mark.parametrize(
    ("prepare", "message"),
    [
        (lambda folder: folder / "missing", "is not a folder"),
        (lambda folder: folder, "is no sweep .*, as it holds no job folders .*, and no job"),
    ],
)
def test_a_folder_that_is_no_sweep_is_an_error_in_one_line(tmp_path, prepare, message):
    with pytest.raises(RegraftError, match=message) as error:
        report(prepare(tmp_path))
    assert "\n" not in str(error.value)


def sweep_of_weights(folder, sizes=("2", "20")):
    number = 0
    for weights, acc in {"random": 0.4, "layerwise": 0.6, "simclr": 0.5}.items():
        for size in sizes:
            for seed in (0, 1, 2):
                words = [f"pretrain={weights}", f"data.per_class={size}"]
                more = 0.3 if size == "20" else 0.0
                choices = {"strategy": "finetune", "backbone": "resnet", "pretrain": weights}
                add(
                    folder,
                    number,
                    acc + more + seed / 100,
                    seed=seed,
                    overrides=words,
                    choices=choices,
                )
                number += 1
    return folder


def test_kinds_of_initial_weights_compete_by_their_names(tmp_path):
    made = report(sweep_of_weights(tmp_path))
    text = (tmp_path / "sweep.md").read_text()
    assert made.sweep.contender == "initial weights"
    assert read_sweep(tmp_path, by=["pretrain"]).contender == "initial weights"
    assert "| initial weights | test acc |" in text
    assert "## data.per_class=2: digits" in text and "## data.per_class=20: digits" in text
    assert "| layerwise | 0.610 |" in text and "| random | 0.710 |" in text
    assert "layerwise wins (0.610)." in text
    with Image.open(tmp_path / "labels.png") as picture:
        assert min(picture.size) > 500
    assert text.index("labels.png") < text.index("pareto.png")


def test_labels_are_drawn_only_where_their_number_was_swept(tmp_path):
    report(sweep_of_weights(tmp_path / "one", sizes=("2",)))
    assert not (tmp_path / "one" / "labels.png").exists()
