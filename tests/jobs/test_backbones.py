"""`-m sweep=backbones`: three backbones, one of them without weights."""

import json
import shutil

import pytest
from shared import once

THREE = ("backbone=fractal_resnet", "backbone.weights=random,gone.safetensors,pretrained")


@pytest.fixture
def swept(finished_run):
    """A ranking by ten images of each digit, as a probe of fewer would not tell them apart."""
    table = "model,top1\nfractal_resnet,12.5\n"
    folder = once("published", (table,), lambda made: (made / "published.csv").write_text(table))
    return finished_run(
        *("-m", "sweep=backbones", "data.per_class=10", "logger=none", "debug=fast"),
        *("augment=light", "freeze=first", "freeze.stages=1", *THREE, "seed=0,1"),
        f"hydra.sweeper.published='{folder}/published.csv'",
    )


def test_candidates_are_probed_and_the_best_two_trained_with_every_seed(swept):
    found = swept.results
    assert [r["choices"]["strategy"] for r in found] == ["probe"] * 3 + ["finetune"] * 4
    assert [r["seed"] for r in found] == [0, 0, 0, 0, 1, 0, 1]
    probes = [r["scores"]["linear"]["acc"] for r in found if r["scores"]]
    assert len(probes) == 2
    assert probes[1] > probes[0] + 0.1
    words = [next(w for w in r["overrides"] if "weights" in w) for r in found[3:]]
    assert words == ["backbone.weights=pretrained"] * 2 + ["backbone.weights=random"] * 2
    assert "augment=light" in found[3]["overrides"]
    assert "augment=light" not in found[0]["overrides"]
    assert "job 6 (of 0 to 6)" in swept.stdout


def test_a_candidate_without_weights_is_told_of_and_stops_nobody(swept):
    assert swept.returncode == 1
    [line] = [line for line in swept.stderr.splitlines() if line.startswith("error")]
    assert "gone.safetensors" in line
    assert [r["status"] for r in swept.results].count("failed") == 1
    rows = swept.rows("backbones.csv")
    assert [row["backbone"] for row in rows] == [
        "weights=pretrained",
        "weights=random",
        "weights=gone.safetensors",
    ]
    assert "gone.safetensors" in rows[2]["error"]
    assert [row["ImageNet top-1"] for row in rows] == ["12.5", "other weights", "not known"]


def test_the_report_says_what_each_score_lost_and_can_be_made_again(swept, regraft, tmp_path):
    assert "Test accuracy lost by following each score" in swept.stdout
    assert "None of the scores is an answer by itself" in " ".join(swept.stdout.split())
    names = ("backbones.csv", "backbones.png", "sweep.md")
    sweep = swept.copy(tmp_path / "sweep")
    for name in names:
        (sweep / name).unlink()
    assert regraft("report", "sweep").returncode == 0
    for name in names:
        assert (sweep / name).read_bytes() == (swept.folder / name).read_bytes(), name


def test_a_ranking_that_was_cut_off_between_its_rounds_goes_on(swept, regraft, tmp_path):
    """As if it had been killed after the probes; the one without weights fails again."""
    sweep = swept.copy(tmp_path / "sweep")
    plan = json.loads((sweep / "sweep.json").read_text())
    plan["overrides"] = plan["overrides"][:3]
    (sweep / "sweep.json").write_text(json.dumps(plan))
    for number in range(3, 7):
        shutil.rmtree(sweep / str(number))
    done = regraft("resume", "sweep")
    found = [json.loads((sweep / str(n) / "result.json").read_text()) for n in range(7)]
    assert [r["metrics"] for r in found] == [r["metrics"] for r in swept.results]
    assert "Of the 2 that were trained" in " ".join(done.stdout.split())
    assert json.loads((sweep / "sweep.json").read_text())["jobs"] == 7
