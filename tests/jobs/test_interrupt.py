"""Ctrl-C in this process; cli/test_sweep.py has jobs with processes of their own."""

import json

import pytest
from runs import TINY, filled

pytestmark = pytest.mark.usefixtures("untaken_signals")


JOBLIB = ("hydra/launcher=joblib", "hydra.launcher.n_jobs=1")


@pytest.mark.parametrize("launcher", [(), JOBLIB], ids=["basic", "joblib"])
def test_ctrl_c_ends_jobs_that_run_one_at_a_time(launcher, train, tmp_path):
    killer = f"{{_target_:killer.Killer,folder:'{tmp_path}',step:5,name:SIGINT}}"
    words = [*map(filled, TINY), "trainer.max_epochs=3", "seed=0,1", "hydra.sweep.dir=sweep"]
    words += [*launcher, f"+callbacks.killer={killer}"]
    done = train("-m", *words, REGRAFT_TRUST="killer")
    assert done.returncode == 130
    [path] = tmp_path.glob("sweep/*/result.json")
    result = json.loads(path.read_text())
    assert result["status"] == "interrupted"
    assert result["error"] == "interrupted at step 5; go on with: regraft resume sweep"
    assert result["error"] in done.stderr
    assert (tmp_path / "sweep" / "sweep.md").exists()


def test_a_run_whose_folder_is_named_by_a_key_goes_on(tmp_path, train, regraft):
    killer = f"{{_target_:killer.Killer,folder:'{tmp_path}',step:2,name:SIGINT}}"
    words = [*map(filled, TINY), f"+callbacks.killer={killer}", "hydra.run.dir=of_seed_${seed}"]
    trusted = {"REGRAFT_TRUST": "killer"}
    assert train(*words, **trusted).returncode == 130
    done = regraft("resume", "of_seed_0", **trusted)
    assert done.returncode == 0, done.stderr
    assert json.loads((tmp_path / "of_seed_0/result.json").read_text())["status"] == "finished"


@pytest.mark.parametrize("word", ["hydra.output_subdir=null", "hydra.output_subdir=settings/of"])
def test_a_run_goes_on_with_its_teams_folder_wherever_hydra_puts_its_files(
    tmp_path, train, regraft, word
):
    (tmp_path / "team" / "head").mkdir(parents=True)
    head = "_target_: regraft.head.linear\ndropout: 0.0\n"
    (tmp_path / "team" / "head" / "ours.yaml").write_text(head)
    killer = f"{{_target_:killer.Killer,folder:'{tmp_path}',step:2,name:SIGINT}}"
    words = [*map(filled, TINY), "head=ours", f"+callbacks.killer={killer}", "hydra.run.dir=run"]
    trusted = {"REGRAFT_TRUST": "killer"}
    stopped = train(*words, word, "--config-dir", "team", **trusted)
    assert stopped.returncode == 130, stopped.stderr
    done = regraft("resume", "run", **trusted)
    assert done.returncode == 0, done.stderr
    assert json.loads((tmp_path / "run/result.json").read_text())["resumed"] == 1
