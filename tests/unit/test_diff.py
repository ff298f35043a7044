import json

import pytest
from rich.console import Console

from regraft import diff
from regraft.errors import RegraftError


@pytest.fixture
def run(tmp_path):
    """Makes the folder of a run."""

    def make(name, *, lr=0.1, status="finished", config=True, **record):
        folder = tmp_path / name
        (folder / ".hydra").mkdir(parents=True)
        written = {"status": status, "error": None, "choices": {"head": "mlp"}, **record}
        (folder / "result.json").write_text(json.dumps(written))
        path = folder / "config.yaml" if config else folder / ".hydra" / "config.yaml"
        path.write_text(f"output_dir: {folder}\ndirpath: {folder}/checkpoints\nlr: {lr}\n")
        return folder

    return make


def shown(capsys, first, second, **how):
    diff.show(first, second, Console(width=100), **how)
    return capsys.readouterr().out


def test_only_what_differs_is_shown_by_section(run, capsys):
    first = run("a", metrics={"test/acc": 0.5}, versions={"torch": "2.7"}, data={"train": 9})
    second = run(
        "b", metrics={"test/acc": 0.75}, versions={"torch": "2.8"}, data={"train": 9}, lr=1
    )
    out = shown(capsys, first, second)
    assert [line for line in ("config", "environment", "result") if f"\n{line}" in f"\n{out}"]
    assert "metrics.test/acc" in out
    assert "+0.25" in out
    assert "versions.torch" in out
    assert "data.train" not in out
    assert "dirpath" not in out  # the runs' own folders are no difference
    assert "no difference in data" in out


def test_equal_runs_differ_in_nothing(run, capsys):
    out = shown(capsys, run("a"), run("b"))
    assert out.strip() == "no difference in config, environment, data, result"


def test_as_data(run, capsys):
    out = json.loads(shown(capsys, run("a", lr=1), run("b", lr=2), as_json=True))
    assert out["differences"]["config"] == {"lr": [1, 2]}


def test_unfinished_and_failed_runs_are_compared_too(run, capsys):
    failed = run("a", status="failed", error="the loss\x1b[31m is NaN", config=False)
    killed = run("b", config=False)
    (killed / "result.json").unlink()
    out = shown(capsys, failed, killed)
    assert "failed" in out
    assert "\x1b" not in out
    assert "no result was written" in out.replace("\n", " ")


def test_what_is_no_run_is_one_line(run, tmp_path):
    run("sweep/0")
    with pytest.raises(RegraftError, match=r"is a sweep: give one of its jobs, .*sweep/0$"):
        diff.read(tmp_path / "sweep")
    with pytest.raises(RegraftError, match="no such folder"):
        diff.read(tmp_path / "gone")
    (tmp_path / "empty").mkdir()
    with pytest.raises(RegraftError, match="empty is no run's folder"):
        diff.read(tmp_path / "empty")


def test_a_folder_with_a_damaged_result_alone_is_no_run(tmp_path):
    (tmp_path / "result.json").write_text("{")
    with pytest.raises(RegraftError, match="is no run's folder: result.json is damaged"):
        diff.read(tmp_path)
