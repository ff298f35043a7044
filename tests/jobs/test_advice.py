"""strategy=auto and sweep=verify as their commands leave them, killed on the way too."""

import json

import pytest
import stops
from jobs import composed

from regraft import auto, tracking
from regraft.errors import RegraftError
from regraft.experiment import run

FEW = ("data=digits", "data.per_class=5", "logger=none", "trainer.max_epochs=2")
ALL = ("-m", "sweep=verify", "strategy=auto,scratch", "seed=0", "min_steps=0", *FEW)


@pytest.fixture
def killed(monkeypatch):
    """Runs a command that is killed at a step of its trainings, counted from 0."""
    write = tracking._write_last

    def wrote(record):
        if record.result["status"] == "finished":  # whoever is killed writes no last words
            write(record)

    def kill(step, command, *words):
        with monkeypatch.context() as patch, pytest.raises(stops.Killed):
            stops.at(patch, step, stops.kill)
            patch.setattr(tracking, "_write_last", wrote)
            command(*words)

    return kill


def results(folder):
    paths = sorted(folder.glob("sweep/*/result.json"))
    return [json.loads(path.read_text()) for path in paths]


def test_a_killed_sweep_goes_on_with_what_was_decided(train, regraft, tmp_path, killed):
    """An advised job, and another one, both killed in the second of their two steps."""
    killed(1, train, *ALL, "hydra.sweep.dir=sweep")
    assert [r["status"] for r in results(tmp_path)] == ["running"]
    killed(2, regraft, "resume", "sweep")  # the first step is what was left of the other job
    assert [r["status"] for r in results(tmp_path)] == ["finished", "running"]
    done = regraft("resume", "sweep")
    assert done.returncode == 0, done.stderr
    found = results(tmp_path)
    assert [(r["status"], r["choices"]["strategy"]) for r in found] == [
        ("finished", "auto"),
        ("finished", "scratch"),
    ]
    assert all(result["resumed"] == 1 for result in found)
    assert found[0]["advice"]["placement"]["quadrant"] == "small_dissimilar"
    assert set(found[0]["advice"]["floors"]) > {"majority", "linear probe"}
    assert "The advice, finetune" in done.stdout
    assert [result["strategy"]["name"] for result in found] == ["finetune", "scratch"]
    accs = [result["metrics"]["test/acc"] for result in found]
    [lost] = json.loads((tmp_path / "sweep" / "regret.json").read_text()).values()
    regret = lost["points"]
    assert regret == pytest.approx(100 * (max(accs) - accs[0]), abs=1e-3)
    assert found[1]["advice"] is None
    said = (tmp_path / "sweep" / "sweep.md").read_text()
    assert "The advice, finetune optimizer.backbone_ratio=1" in said


@pytest.mark.usefixtures("trusting")
def test_a_job_measures_then_trains_and_knows_its_floors(finished_run, tmp_path):
    made = finished_run("strategy=auto", *FEW)
    result = made.result
    assert result["status"] == "finished"
    assert (result["choices"]["strategy"], result["strategy"]["name"]) == ("auto", "finetune")
    assert {row["action"] for row in result["plan"]} == {"tune"}
    advice = result["advice"]
    assert advice["placement"]["quadrant"] == "small_dissimilar"
    assert "min_steps" not in str(advice["choices"])
    floors = advice["floors"]
    assert set(floors) == {
        "majority",
        "random trunk, linear probe",
        "linear probe",
        "nearest neighbours",
    }
    assert floors["majority"] < floors["random trunk, linear probe"] < floors["linear probe"]
    assert (made.folder / "advice.png").read_bytes()[:4] == b"\x89PNG"
    # Gone on with, it is the same run, and it has ended.
    folder = made.copy(tmp_path / "again")
    again = composed(folder, *result["overrides"], "resume=auto")
    assert run(again) == result["metrics"]["val/acc"]


def test_random_weights_are_similar_to_nothing(finished_run):
    advice = finished_run("strategy=auto", *FEW, "backbone.weights=random").result["advice"]
    assert advice["similarity"] is None and advice["distance"] is None
    assert "random" in advice["no_similarity_because"]
    assert advice["placement"]["quadrant"] is None
    assert advice["choices"][0]["words"] == "strategy=scratch"
    assert "linear probe" not in advice["floors"]


def test_an_advice_is_left_in_a_folder_of_its_own(tmp_path, capsys):
    words = ("data=digits", "data.per_class=3")
    assert auto.advise(composed(tmp_path / "job", "strategy=auto", *words), tmp_path) == 0
    [folder] = tmp_path.glob("advice/*/*")
    advice = json.loads((folder / "advice.json").read_text())
    assert advice["data"]["train"] == 30 and advice["choices"][0]["words"] == "strategy=finetune"
    said = capsys.readouterr().out
    assert "small and not similar" in said and "second opinion agrees" in said


def test_a_source_with_hardly_an_image_is_one_line(tmp_path):
    words = ("data=digits", "data.per_class=3", f"strategy.source={tmp_path}")
    with pytest.raises(RegraftError, match=r"strategy\.source=.*: 0 images lie there"):
        auto.advise(composed(tmp_path / "job", "strategy=auto", *words), tmp_path)
