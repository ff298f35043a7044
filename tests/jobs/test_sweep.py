"""A sweep as its command leaves it, with jobs made to fail on purpose."""

import json

import pytest
import wandb_file
from PIL import Image
from runs import TINY


@pytest.fixture
def sweep(finished_run):
    """Four jobs; `data.per_class=999` is more than there is, so half of them fail."""
    return finished_run(
        "-m",
        "quadrant=small_dissimilar,big_dissimilar",
        "strategy=finetune",
        "data.per_class=999,3",
        "debug=fast",
    )


def jobs_of(sweep):
    """The folders of the jobs, in their order."""
    return [sweep.folder / str(number) for number in range(4)]


def test_failed_jobs_stop_nobody_and_the_exit_code_says_so(sweep):
    assert sweep.returncode == 1
    assert len(sweep.results) == 4
    assert [r["status"] for r in sweep.results].count("failed") == 2
    for result in sweep.results:
        assert (result["status"] == "failed") == ("data.per_class=999" in result["overrides"])
    assert "Traceback" not in sweep.stderr
    assert sweep.stderr.count("error: ") == 2


def test_the_terminal_says_which_job_of_how_many(sweep):
    assert "job 0 (of 0 to 3): " in sweep.stdout
    assert "job 3 (of 0 to 3): " in sweep.stdout
    assert " left" in sweep.stdout


def test_the_table_has_a_row_for_each_job_failed_ones_too(sweep):
    rows = sweep.rows("sweep.csv")
    assert len(rows) == 4
    failed = [row for row in rows if row["status"] == "failed"]
    assert len(failed) == 2
    assert all("per_class" in row["error"] for row in failed)
    text = (sweep.folder / "sweep.md").read_text()
    for word in ("finetune", "failed", "small_dissimilar", "big_dissimilar"):
        assert word in text


def test_the_picture_is_drawn(sweep):
    with Image.open(next(sweep.folder.glob("quadrants*.png"))) as picture:
        assert picture.width > 1000


def test_each_job_is_its_own_wandb_run_of_the_sweeps_group_with_its_own_exit_code(sweep):
    runs = [wandb_file.read(folder) for folder in jobs_of(sweep)]
    ids = {run["run"].run_id for run in runs}
    assert len(ids) == 4
    assert {run["run"].run_group for run in runs} == {" ".join(sweep.folder.parts[-2:])}
    for run, result in zip(runs, sweep.results, strict=True):
        assert run["exit_code"] == (1 if result["status"] == "failed" else 0)


def test_its_page_is_there_and_a_debug_run_s_is_not_logged(sweep):
    assert "report.html (" in sweep.stdout
    assert (sweep.folder / "report.html").stat().st_size > 100_000
    assert not (sweep.folder / "wandb").exists()


def test_the_report_is_made_again_from_the_folder_alone(sweep, regraft, tmp_path):
    copied = sweep.copy(tmp_path / "copy")
    names = ["sweep.csv", "sweep.md", next(sweep.folder.glob("quadrants*.png")).name]
    for name in names:
        (copied / name).unlink()
    done = regraft("report", "copy")
    assert done.returncode == 0, done.stderr
    assert "finetune" in done.stdout
    for name in names:
        assert (copied / name).read_bytes() == (sweep.folder / name).read_bytes(), name


def test_finished_jobs_have_their_pictures_which_are_drawn_again_when_asked_for(
    sweep, regraft, tmp_path
):
    names = {"curves.png", "confusion_matrix.png", "reliability.png"}
    copied = sweep.copy(tmp_path / "copy")
    jobs = {}
    for result, folder in zip(sweep.results, sorted(copied.glob("[0-9]")), strict=True):
        drawn = {picture.name for picture in folder.glob("*.png")}
        assert drawn == (names if result["status"] == "finished" else set())
        jobs[result["status"]] = folder
    (jobs["finished"] / "curves.png").unlink()
    again, refused = (regraft("report", str(jobs[status])) for status in ("finished", "failed"))
    assert again.returncode == 0, again.stderr
    assert (jobs["finished"] / "curves.png").exists()
    assert refused.returncode == 1
    assert "data.per_class=999" in refused.stderr
    assert refused.stderr.count("\n") == 1


MOVED = [
    "hydra.output_subdir=null",
    "hydra.output_subdir=settings/of_hydra",
    "hydra.sweep.subdir=job_${hydra.job.num}",
    "hydra.sweep.subdir=${hydra.job.override_dirname}",
    "hydra.sweep.subdir=deeper/${hydra.job.num}",
    "hydra.job.chdir=true",
]


@pytest.mark.parametrize("word", MOVED)
def test_wherever_hydra_puts_its_files_a_sweep_has_its_table_and_report(finished_run, word):
    done = finished_run("-m", *TINY, "head=linear", "seed=0,1", word)
    assert done.returncode == 0, done.stderr
    assert [row["status"] for row in done.rows("sweep.csv")] == ["finished"] * 2
    assert (done.folder / "report.html").exists()
    assert "job 1 (of 0 to 1): " in done.stdout
    found = [json.loads((done.folder / number / "result.json").read_text()) for number in "01"]
    assert [result["seed"] for result in found] == [0, 1]
    # What refers to a job is not looked up where there is none yet.
    assert word in json.loads((done.folder / "sweep.json").read_text())["words"]


def test_jobs_whose_folders_have_other_names_are_gone_on_with(finished_run, train, tmp_path):
    words = ("-m", *TINY, "head=linear", "seed=0,1", "hydra.sweep.subdir=job_${hydra.job.num}")
    folder = finished_run(*words).copy(tmp_path / "sweep")
    (folder / "job_1" / "result.json").unlink()
    again = train(*words, "resume=auto", "hydra.sweep.dir=sweep")
    assert again.returncode == 0, again.stderr
    assert "has finished: nothing to do" in again.stdout
    assert json.loads((folder / "1" / "result.json").read_text())["status"] == "finished"
    assert (folder / "job_1" / "result.json").exists()


def test_a_sweep_without_hydras_files_is_gone_on_with(finished_run, regraft, tmp_path):
    words = ("-m", *TINY, "head=linear", "seed=0,1", "hydra.output_subdir=null")
    folder = finished_run(*words).copy(tmp_path / "sweep")
    (folder / "1" / "result.json").unlink()
    (folder / "1" / "config.yaml").unlink()
    again = regraft("resume", "sweep")
    assert again.returncode == 0, again.stderr
    assert json.loads((folder / "1" / "result.json").read_text())["status"] == "finished"


@pytest.mark.parametrize("name", ["same", "${seed}"])
def test_a_folder_that_is_another_jobs_is_refused(train, tmp_path, name):
    done = train("-m", *TINY, "seed=1,0", f"hydra.sweep.subdir={name}", "hydra.sweep.dir=s")
    assert done.returncode == 1
    assert "have ${hydra.job.num} in the name" in done.stderr


def test_a_sweep_logs_its_report_beside_its_jobs(finished_run):
    done = finished_run("-m", *TINY[:-1], "seed=0,1")
    assert done.returncode == 0, done.stderr
    places = (done.folder, done.folder / "0", done.folder / "1")
    runs = [wandb_file.read(place)["run"] for place in places]

    assert [run.job_type for run in runs] == ["report", "train", "train"]
    assert len({run.run_group for run in runs}) == 1
    assert len({run.project for run in runs}) == 1
    assert (done.folder / "report.html").exists()
    assert "report.html (" in done.stdout


def test_what_has_finished_is_gone_on_with_by_nobody(finished_run, regraft, tmp_path):
    folder = finished_run("-m", *TINY[:-1], "seed=0,1").copy(tmp_path / "moved")
    before = {path: path.stat().st_mtime_ns for path in folder.rglob("*") if path.is_file()}
    done = regraft("resume", "moved")
    expected = "moved: all 2 jobs have finished: nothing to do\n"
    assert (done.returncode, done.stdout) == (0, expected)
    after = {path: path.stat().st_mtime_ns for path in folder.rglob("*") if path.is_file()}
    assert after == before
