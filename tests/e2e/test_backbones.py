"""`-m sweep=backbones` through the real command line: three backbones, one without weights."""

import csv
import json
import shutil
import subprocess
import sys

import pytest

pytestmark = [pytest.mark.slow, pytest.mark.xdist_group("backbones")]
WORDS = [
    *("-m", "sweep=backbones", "data.per_class=10", "logger=none", "debug=fast"),
    *("hydra.sweep.dir=sweep", "augment=light", "freeze=first", "freeze.stages=1"),
]
THREE = ("backbone=fractal_resnet", "backbone.weights=random,gone.safetensors,pretrained")


@pytest.fixture(scope="module")
def swept(tmp_path_factory, train_in):
    folder = tmp_path_factory.mktemp("backbones")
    (folder / "published.csv").write_text("model,top1\nfractal_resnet,12.5\n")
    given = ["seed=0,1", "hydra.sweeper.published=published.csv"]
    done = train_in(folder, *WORDS, *THREE, *given)
    return folder / "sweep", done


def results(sweep):
    paths = sorted(sweep.glob("*/result.json"), key=lambda path: int(path.parent.name))
    return [json.loads(path.read_text()) for path in paths]


def again(command, sweep):
    words = [sys.executable, "-m", "regraft.cli", command, sweep.name]
    return subprocess.run(words, cwd=sweep.parent, capture_output=True, text=True, timeout=300)


def test_candidates_are_probed_and_the_best_two_trained_with_every_seed(swept):
    sweep, done = swept
    found = results(sweep)
    assert [r["choices"]["strategy"] for r in found] == ["probe"] * 3 + ["finetune"] * 4
    assert [r["seed"] for r in found] == [0, 0, 0, 0, 1, 0, 1]
    probes = [r["scores"]["linear"]["acc"] for r in found if r["scores"]]
    assert len(probes) == 2
    assert probes[1] > probes[0] + 0.1
    words = [next(w for w in r["overrides"] if "weights" in w) for r in found[3:]]
    assert words == ["backbone.weights=pretrained"] * 2 + ["backbone.weights=random"] * 2
    assert "augment=light" in found[3]["overrides"]
    assert "augment=light" not in found[0]["overrides"]
    assert "job 6 (of 0 to 6)" in done.stdout


def test_a_candidate_without_weights_is_told_of_and_stops_nobody(swept):
    sweep, done = swept
    assert done.returncode == 1
    [line] = [line for line in done.stderr.splitlines() if line.startswith("error")]
    assert "gone.safetensors" in line
    assert [r["status"] for r in results(sweep)].count("failed") == 1
    with (sweep / "backbones.csv").open(newline="") as file:
        rows = list(csv.DictReader(file))
    assert [row["backbone"] for row in rows] == [
        "weights=pretrained",
        "weights=random",
        "weights=gone.safetensors",
    ]
    assert "gone.safetensors" in rows[2]["error"]
    assert [row["ImageNet top-1"] for row in rows] == ["12.5", "other weights", "not known"]


def test_the_report_says_what_each_score_lost_and_can_be_made_again(swept):
    sweep, done = swept
    assert "Test accuracy lost by following each score" in done.stdout
    assert "None of the scores is an answer by itself" in " ".join(done.stdout.split())
    names = ("backbones.csv", "backbones.png", "sweep.md")
    before = [(sweep / name).read_bytes() for name in names]
    for name in names:
        (sweep / name).unlink()
    assert again("report", sweep).returncode == 0
    assert [(sweep / name).read_bytes() for name in names] == before


def test_a_ranking_that_was_cut_off_between_its_rounds_goes_on(swept, tmp_path):
    """As if it had been killed after the probes; the one without weights fails again."""
    sweep = tmp_path / "sweep"
    shutil.copytree(swept[0], sweep)
    shutil.copy(swept[0].parent / "published.csv", tmp_path)
    expected = results(sweep)
    plan = json.loads((sweep / "sweep.json").read_text())
    plan["overrides"] = plan["overrides"][:3]
    (sweep / "sweep.json").write_text(json.dumps(plan))
    for number in range(3, 7):
        shutil.rmtree(sweep / str(number))
    done = again("resume", sweep)
    found = results(sweep)
    assert len(found) == 7
    assert [r["metrics"] for r in found] == [r["metrics"] for r in expected]
    assert "Of the 2 that were trained" in " ".join(done.stdout.split())
    assert json.loads((sweep / "sweep.json").read_text())["jobs"] == 7


@pytest.mark.parametrize(
    ("words", "said"),
    [
        (["backbone=resnet18"], "one backbone (backbone=resnet18) leaves nothing to rank"),
        (["backbone=resnet18,resnt50"], "did you mean 'resnet50'?"),
        (["data=digits,fractals"], "data: a ranking of backbones takes several values of"),
        (["hydra.sweeper.finalists=1"], "hydra.sweeper.finalists=1: give how many"),
        (["hydra.sweeper.published=no.csv"], "hydra.sweeper.published=no.csv: No such file"),
    ],
)
def test_what_cannot_be_ranked_is_one_line_before_any_job(train, words, said):
    done = train("-m", "sweep=backbones", *words)
    assert done.returncode == 1
    [line] = done.stderr.splitlines()
    assert line.startswith("error: ")
    assert said in line
    assert not done.stdout
