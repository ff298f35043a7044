"""A command line that is wrong, or a question, as only a process shows it."""

import json
import subprocess
import sys
import textwrap

import wandb_file


def test_a_failed_job_is_one_line_and_leaves_a_result_and_a_failed_run(tmp_path, train):
    done = train("freeze=first", "freeze.stages=9")
    assert done.returncode == 1
    [line] = done.stderr.splitlines()
    assert line.startswith("error: ")
    assert "the backbone has 5 stages" in line

    [run] = tmp_path.glob("outputs/runs/*/*")
    result = json.loads((run / "result.json").read_text())
    assert result["status"] == "failed"
    assert f"error: {result['error']}" == line
    assert result["cost"]["wall_s"] > 0
    assert wandb_file.read(run)["exit_code"] == 1
    assert "Traceback" in (run / "train.log").read_text()


def test_a_wrong_word_is_one_line_and_help_may_be_cut_off(tmp_path, repository):
    """Of `--help | head -1`, and of a word that does not exist."""
    program = f"'{sys.executable}' '{repository / 'train.py'}'"
    script = f"set -o pipefail; {program} --help | true || exit 9; {program} optimizer.lrr=3"
    done = subprocess.run(["bash", "-c", script], cwd=tmp_path, capture_output=True, text=True)
    assert done.returncode == 1
    [line] = done.stderr.splitlines()
    assert line == "error: optimizer.lrr: no such key; did you mean 'optimizer.lr'?"
    assert done.stdout == ""
    assert [*tmp_path.iterdir()] == []


QUESTIONS = [
    *("--help", "--hydra-help", "--version", "--cfg=job", "--cfg=job --package=optimizer"),
    *("--cfg=job --resolve", "--cfg=all --resolve", "--info=searchpath", "--info=defaults-tree"),
]
ASK = """
    import runpy, sys
    from pathlib import Path
    sys.path.insert(0, {support!r})
    import in_process
    import regraft.presets  # of `regraft presets`
    for words in {questions!r}:
        done = in_process.train(Path.cwd(), *words.split())
        heavy = {{"torch", "pytorch_lightning", "timm", "wandb", "numpy"}} & {{*sys.modules}}
        print(words, done.returncode, len(done.stdout) > 5, done.stderr, sorted(heavy))
    sys.argv = ["train.py", "--version"]
    runpy.run_path({program!r}, run_name="__main__")
"""


def test_questions_are_answered_without_importing_torch(repository, tmp_path):
    support, program = str(repository / "tests" / "support"), str(repository / "train.py")
    code = ASK.format(support=support, questions=QUESTIONS, program=program)
    command = [sys.executable, "-c", textwrap.dedent(code)]
    done = subprocess.run(command, cwd=tmp_path, capture_output=True, text=True)
    assert (done.returncode, done.stderr) == (0, "")
    answers = done.stdout.splitlines()
    assert answers[:-1] == [f"{words} 0 True  []" for words in QUESTIONS]
    assert answers[-1]
    assert [*tmp_path.iterdir()] == []
