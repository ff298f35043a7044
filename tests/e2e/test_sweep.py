"""A sweep through the real command line, with a job made to fail on purpose."""

import csv
import json
import shutil
import subprocess
import sys

import pytest
import wandb_file
from PIL import Image

pytestmark = [pytest.mark.slow, pytest.mark.xdist_group("sweep")]


@pytest.fixture(scope="module")
def sweep(tmp_path_factory, train_in):
    """Sixteen jobs; `data.per_class=999` is more than there is, so half of them fail."""
    folder = tmp_path_factory.mktemp("sweep")
    done = train_in(
        folder,
        "-m",
        "quadrant=small_dissimilar,big_dissimilar",
        "strategy=feature_extraction,finetune",
        "data.per_class=999,3",
        "seed=0,1",
        "trainer.max_epochs=2",
        "debug=fast",
        timeout=500,
    )
    [made] = folder.glob("outputs/sweeps/*/*")
    return made, done


def results(folder):
    return [json.loads(p.read_text()) for p in sorted(folder.glob("*/result.json"))]


def report(folder):
    command = [sys.executable, "-m", "regraft.cli", "report", str(folder)]
    return subprocess.run(command, capture_output=True, text=True)


def test_failed_jobs_stop_nobody_and_the_exit_code_says_so(sweep):
    folder, done = sweep
    found = results(folder)
    assert done.returncode == 1
    assert len(found) == 16
    assert [r["status"] for r in found].count("failed") == 8
    for result in found:
        assert (result["status"] == "failed") == ("data.per_class=999" in result["overrides"])
    assert "Traceback" not in done.stderr
    assert done.stderr.count("error: ") == 8


def test_the_terminal_says_which_job_of_how_many(sweep):
    _, done = sweep
    assert "job 0 (of 0 to 15): " in done.stdout
    assert "job 15 (of 0 to 15): " in done.stdout
    assert " left" in done.stdout


def test_the_table_has_a_row_for_each_job_failed_ones_too(sweep):
    folder, _ = sweep
    with (folder / "sweep.csv").open(newline="") as file:
        rows = list(csv.DictReader(file))
    assert len(rows) == 16
    failed = [row for row in rows if row["status"] == "failed"]
    assert len(failed) == 8
    assert all("per_class" in row["error"] for row in failed)
    text = (folder / "sweep.md").read_text()
    for word in ("feature_extraction", "finetune", "failed", "small_dissimilar"):
        assert word in text


def test_the_picture_is_drawn(sweep):
    folder, _ = sweep
    with Image.open(next(folder.glob("quadrants*.png"))) as picture:
        assert picture.width > 1000


def test_each_job_is_its_own_wandb_run_of_the_sweeps_group_with_its_own_exit_code(sweep):
    folder, _ = sweep
    runs = [wandb_file.read(path.parent) for path in sorted(folder.glob("*/result.json"))]
    ids = {run["run"].run_id for run in runs}
    assert len(ids) == 16
    assert {run["run"].run_group for run in runs} == {" ".join(folder.parts[-2:])}
    for run, result in zip(runs, results(folder), strict=True):
        assert run["exit_code"] == (1 if result["status"] == "failed" else 0)


def test_its_page_is_there_and_a_debug_run_s_is_not_logged(sweep):
    folder, done = sweep
    assert "report.html (" in done.stdout
    assert (folder / "report.html").stat().st_size > 100_000
    assert not (folder / "wandb").exists()


def test_the_report_is_made_again_from_the_folder_alone(sweep, tmp_path):
    folder, _ = sweep
    copied = shutil.copytree(folder, tmp_path / "copy", ignore=shutil.ignore_patterns("wandb"))
    names = ["sweep.csv", "sweep.md", next(folder.glob("quadrants*.png")).name]
    before = {name: (folder / name).read_bytes() for name in names}
    for name in names:
        (copied / name).unlink()
    done = report(copied)
    assert done.returncode == 0, done.stderr
    assert "feature_extraction" in done.stdout
    assert {name: (copied / name).read_bytes() for name in names} == before


def test_finished_jobs_have_their_pictures_which_are_drawn_again_when_asked_for(sweep):
    folder, _ = sweep
    names = {"curves.png", "confusion_matrix.png", "reliability.png"}
    paths = [path.parent for path in sorted(folder.glob("*/result.json"))]
    for path, result in zip(paths, results(folder), strict=True):
        drawn = {picture.name for picture in path.glob("*.png")}
        assert drawn == (names if result["status"] == "finished" else set())
    jobs = {r["status"]: path for path, r in zip(paths, results(folder), strict=True)}
    (jobs["finished"] / "curves.png").unlink()
    again, refused = (report(jobs[status]) for status in ("finished", "failed"))
    assert again.returncode == 0, again.stderr
    assert (jobs["finished"] / "curves.png").exists()
    assert refused.returncode == 1
    assert "data.per_class=999" in refused.stderr
    assert refused.stderr.count("\n") == 1


def test_jobs_side_by_side_share_what_is_computed_once(tmp_path, train_in, monkeypatch):
    monkeypatch.setenv("REGRAFT_CACHE", str(tmp_path / "cache"))
    words = ["hydra/launcher=joblib", "hydra.launcher.n_jobs=4", "trainer.max_epochs=2"]
    done = train_in(tmp_path, "-m", *words, "data.per_class=3,999,4,5", "logger=none")
    [folder] = tmp_path.glob("outputs/sweeps/*/*")
    found = results(folder)
    assert done.returncode == 1
    assert [r["status"] for r in found] == ["finished", "failed", "finished", "finished"]
    assert done.stderr.count("error: ") == 1
    assert "4 jobs, 1 failed" in done.stdout
    # The validation and test images are the same in all jobs: computed by one of them.
    train, others = 10 * (3 + 4 + 5), 179 + 359
    assert sum(r["cost"].get("images_forwarded", 0) for r in found) == train + others


def test_a_sweep_that_nobody_can_count_fails_with_its_jobs(tmp_path, train_in):
    done = train_in(tmp_path, "-m", "strategy=glob(f*)", "head.dropout=2")
    [folder] = tmp_path.glob("outputs/sweeps/*/*")
    assert done.returncode == 1
    assert "raised" not in done.stderr  # as Hydra says when a callback fails
    assert done.stderr.count("error: head.dropout=2: ") == 2
    assert (folder / "sweep.md").exists()


def test_a_sweep_whose_folders_have_other_names_ends_in_one_line(tmp_path, train_in):
    words = ["seed=0,1", "data.per_class=2", "trainer.max_epochs=1", "logger=none"]
    done = train_in(tmp_path, "-m", *words, "hydra.sweep.subdir=job_${hydra.job.num}")
    assert done.returncode == 1
    assert "Traceback" not in done.stderr
    assert "holds no job folders 0, 1, 2" in done.stderr.splitlines()[-1]
    assert len([*tmp_path.glob("outputs/sweeps/*/*/job_*/result.json")]) == 2


def test_a_report_on_nothing_is_one_line(tmp_path):
    done = subprocess.run(
        [sys.executable, "-m", "regraft.cli", "report", str(tmp_path / "nothing")],
        capture_output=True,
        text=True,
    )
    assert done.returncode == 1
    assert len(done.stderr.strip().splitlines()) == 1
