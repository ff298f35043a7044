"""Folders of teams stand in front of what is shipped, and what they replace is said."""

import pytest
from hydra.core.hydra_config import HydraConfig
from jobs import composed
from omegaconf import OmegaConf

from regraft import searchpath, sweep, tracking
from regraft.errors import RegraftError
from regraft.paths import conf_folder

HEAD = "# Ours.\n_target_: regraft.head.mlp\nhidden: {}\ndropout: 0.0\n"


@pytest.fixture
def team(tmp_path):
    """Makes a team's folder with these files."""

    def make(name="team", **files):
        for path, text in files.items():
            file = tmp_path / name / f"{path.replace('__', '/')}.yaml"
            file.parent.mkdir(parents=True, exist_ok=True)
            file.write_text(text)
        return tmp_path / name

    return make


@pytest.fixture
def search(monkeypatch):
    """Sets REGRAFT_CONFIG_PATH, and `--config-dir` for one call."""

    def use(*words, config_dir=None):
        monkeypatch.setenv("REGRAFT_CONFIG_PATH", ";".join(map(str, words)))
        searchpath.use(config_dir)

    yield use
    monkeypatch.delenv("REGRAFT_CONFIG_PATH", raising=False)
    searchpath.use()


def test_without_an_entry_there_is_only_what_is_shipped():
    [entry] = searchpath.entries()
    assert (entry.name, entry.folder) == ("shipped", conf_folder())


def test_a_path_a_url_and_a_package_name_a_folder(team, search, tmp_path, monkeypatch):
    folder = team("lib", acme__conf__head__wide=HEAD.format(9))
    monkeypatch.chdir(tmp_path)
    monkeypatch.syspath_prepend(folder)
    search("lib", f"file://{folder}", " pkg://acme.conf ", "")
    found = [(entry.name, entry.folder) for entry in searchpath.entries()[:-1]]
    assert found == [
        ("./lib", folder),
        (f"file://{folder}", folder),
        ("pkg://acme.conf", folder / "acme" / "conf"),
    ]


@pytest.mark.parametrize(
    ("word", "message"),
    [
        ("{tmp}/tem", r"REGRAFT_CONFIG_PATH=.*/tem: no such folder; did you mean 'team'\?$"),
        ("file://{tmp}/no/way", r"no such folder$"),
        ("pkg://regraf.conf", r"pkg://regraf.conf: no such package is installed"),
        ("pkg://regraft.figure", r"is installed; did you mean 'regraft.figures'\?$"),
        ("pkg://acme.cnf", r"did you mean 'acme.conf'\?$"),  # a folder without an __init__.py
        ("pkg://", r"no such package"),
        ("pkg://regraft.head", r"a module, not a package"),
        ("s3://team/conf", r"give a folder, file:///<folder> or pkg://<package>$"),
    ],
)
def test_what_is_not_there_is_one_line(word, message, team, search, tmp_path, monkeypatch):
    monkeypatch.syspath_prepend(team("lib", acme__conf__head__wide=HEAD.format(9)))
    team(head__wide=HEAD.format(9))
    with pytest.raises(RegraftError, match=message) as caught:
        search(word.format(tmp=tmp_path))
    assert "\n" not in str(caught.value)


def test_the_first_folder_wins_and_the_one_of_this_call_before_all(team, search, tmp_path):
    first = team("a", head__mlp=HEAD.format(1), head__own=HEAD.format(10))
    second = team("b", head__mlp=HEAD.format(2), head__other=HEAD.format(20))
    call = team("c", head__mlp=HEAD.format(3))
    search(first, second)
    assert composed(tmp_path / "1").head.hidden == 1
    assert composed(tmp_path / "2", "head=own").head.hidden == 10
    assert composed(tmp_path / "3", "head=other").head.hidden == 20
    search(first, second, config_dir=str(call))
    assert composed(tmp_path / "4").head.hidden == 3
    search(first, second)
    assert composed(tmp_path / "5").head.hidden == 1


def test_a_missing_folder_of_this_call_is_one_line(team, search, tmp_path):
    team(head__mlp=HEAD.format(1))
    with pytest.raises(RegraftError, match=r"--config-dir=.*/tema: .*did you mean 'team'"):
        search(config_dir=str(tmp_path / "tema"))


def test_what_a_job_takes_from_a_team_is_recorded_with_what_it_replaces(team, search, tmp_path):
    folder = team(
        head__wide=HEAD.format(9),
        callbacks__default="# Ours.\ncheckpoint: null\n",
        preset__acme="# @package _global_\n# Ours.\ndefaults:\n  - override /head: wide\n",
    )
    search(folder)
    # callbacks=early_stopping is shipped and takes in callbacks/default, which is not.
    cfg = composed(tmp_path / "1", "preset=acme", "callbacks=early_stopping")
    job = tracking.Job.current()
    assert set(job.sources) == {"head/wide", "preset/acme", "callbacks/default"}
    assert job.sources["callbacks/default"] == {
        "from": str(folder),
        "file": str(folder / "callbacks/default.yaml"),
        "replaces": str(conf_folder() / "callbacks/default.yaml"),
    }
    assert job.sources["head/wide"]["replaces"] is None
    assert tracking.blank_result(job, cfg)["sources"] == job.sources
    composed(tmp_path / "2", "callbacks=default", "head=linear")
    assert set(tracking.Job.current().sources) == {"callbacks/default"}


def test_nothing_is_recorded_where_nothing_is_a_teams(tmp_path):
    composed(tmp_path)
    assert tracking.Job.current().sources == {}


def test_a_replaced_option_is_said_when_it_is_chosen(team, search, tmp_path, capsys):
    search(team(head__linear=HEAD.format(9), head__wide=HEAD.format(9)))
    composed(tmp_path / "1", "head=wide")
    searchpath.say_what_is_replaced(HydraConfig.get())
    assert capsys.readouterr().out == ""
    composed(tmp_path / "2", "head=linear")
    searchpath.say_what_is_replaced(HydraConfig.get())
    [line] = capsys.readouterr().out.splitlines()
    assert line == (
        f"head/linear is that of {tmp_path}/team: {tmp_path}/team/head/linear.yaml "
        f"replaces {conf_folder()}/head/linear.yaml"
    )


def test_in_a_sweep_it_is_said_once_whichever_job_chooses_it(team, search, tmp_path, capsys):
    search(team(head__linear=HEAD.format(9), optimizer__sgd="# Ours.\n"))
    composed(tmp_path, sweep=True)
    hydra = HydraConfig.get()
    words = [["head=mlp"], ["head=linear", "seed=1"], ["head=linear", "optimizer=sgd"]]
    searchpath.say_what_is_replaced(hydra, words)
    assert [line.split()[0] for line in capsys.readouterr().out.splitlines()] == [
        "head/linear",
        "optimizer/sgd",
    ]


def test_every_value_of_a_sweep_is_in_one_of_few_jobs():
    overrides = {"task": ["seed=0,1,2", "head=mlp", "strategy=finetune", "optimizer=adamw,sgd"]}
    params = {"strategy": "scratch,lp_ft", "data": "digits,fractals"}
    config = OmegaConf.create({"hydra": {"overrides": overrides, "sweeper": {"params": params}}})
    jobs = [*sweep.each_value_once(config)]
    assert len(jobs) == 3
    assert {word for job in jobs for word in job} == {
        *("seed=0", "seed=1", "seed=2", "head=mlp", "strategy=finetune"),
        *("optimizer=adamw", "optimizer=sgd", "data=digits", "data=fractals"),
    }
    assert all(len(job) == 5 for job in jobs)


def test_the_folder_above_the_one_that_is_meant_is_refused(tmp_path):
    (tmp_path / "team/conf/head").mkdir(parents=True)
    with pytest.raises(RegraftError, match=r"holds no options; did you mean .*team/conf\?"):
        searchpath.read(str(tmp_path / "team"), "REGRAFT_CONFIG_PATH")
    assert searchpath.read(str(tmp_path / "team/conf"), "x")
