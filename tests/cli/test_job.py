"""One job, started as a person does: what the terminal shows, what is kept, and what is sent."""

import json

import pytest
import torch
import wandb_file

MEDIA = {"plan", "confusion_matrix_table", "test/confident_mistakes"}
WORDS = ("data.per_class=20", "trainer.max_epochs=4", "tags=[mine]")  # as in tests/jobs/test_job.py


def test_a_job_shows_its_plan_and_summary_and_keeps_what_weights_and_biases_is_told(
    tmp_path, train, finished_run, monkeypatch
):
    monkeypatch.setenv("REGRAFT_CACHE", str(tmp_path / "cache"))
    done = train(*WORDS)
    assert done.returncode == 0, done.stderr
    [run] = tmp_path.glob("outputs/runs/*/*")
    for text in ("stage4", "keep", "accuracy", "cost", str(run.name), "make sync"):
        assert text in done.stdout or text in "".join(done.stdout.split()), text  # long paths wrap
    assert "Traceback" not in done.stderr
    assert "stage4" in (run / "plan.txt").read_text()

    result = json.loads((run / "result.json").read_text())
    assert sorted(result["overrides"]) == sorted(WORDS)
    again = finished_run(*WORDS)  # within another process
    assert result["metrics"] == again.result["metrics"]
    names = {path.name for path in run.iterdir()}
    assert names == {path.name for path in again.folder.iterdir()}
    assert "wandb" in names

    found = wandb_file.read(run)
    config, summary = found["config"], found["summary"]

    assert found["exit_code"] == 0
    assert found["run"].project == "regraft"
    assert found["run"].job_type == "train"
    assert found["run"].display_name == "feature_extraction-fractal_resnet-digits-s0"
    assert set(found["run"].tags) == {"feature_extraction", "fractal_resnet", "digits", "mine"}
    assert found["run"].run_group == ""
    assert found["run"].run_id == result["wandb"]["id"]
    assert found["axes"]["*"] == "trainer/global_step"  # train/loss has an axis too
    assert config["optimizer"]["lr"] > 0  # nested, not a string
    assert config["choices"]["strategy"] == "feature_extraction"
    assert "data.per_class=20" in config["overrides"]
    assert torch.__version__.startswith(config["versions"]["torch"])
    assert config["plan"][0]["action"] == "keep"
    assert config["weights"]["sha256"] == result["weights"]["sha256"]
    ours = {name: value for name, value in config.items() if not name.startswith("_wandb")}
    assert "${" not in json.dumps(ours)
    measured = [row["val/acc"] for row in found["history"] if "val/acc" in row]
    assert len(measured) == 4
    assert any("lr-" in key for row in found["history"] for key in row)
    assert summary["cost/wall_s"] == result["cost"]["wall_s"]
    assert summary["test/acc"] == pytest.approx(result["metrics"]["test/acc"])
    types = {f"{key}/_type": key for key in MEDIA}
    last = found["history"][-1]
    media = {types[key]: last[key] for key in types.keys() & last.keys()}
    assert media == {
        "plan": "table-file",
        "confusion_matrix_table": "table-file",
        "test/confident_mistakes": "table-file",
    }
