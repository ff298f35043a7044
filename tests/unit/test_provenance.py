"""Who set a value: the word of a command line, or a line of a file of any folder."""

from pathlib import Path

import pytest
from hydra import compose, initialize_config_dir
from hydra.core.global_hydra import GlobalHydra
from hydra.core.hydra_config import HydraConfig

from regraft import config, provenance
from regraft.complaints import explain
from regraft.errors import RegraftError
from regraft.paths import conf_folder

MLP = "_target_: regraft.head.mlp"
OVERLAY = "# @package _global_\n"


@pytest.fixture
def team(tmp_path, monkeypatch):
    """Writes files of a team's folder, which is the current one."""
    monkeypatch.chdir(tmp_path)

    def write(**files):
        for name, text in files.items():
            path = tmp_path / f"{name.replace('__', '/')}.yaml"
            path.parent.mkdir(exist_ok=True)
            path.write_bytes(text if isinstance(text, bytes) else text.encode())

    yield write
    HydraConfig.instance().cfg = None
    GlobalHydra.instance().clear()


def job(*words):
    """The config of these words; HydraConfig knows of it, as it does in a job."""
    with initialize_config_dir(str(conf_folder()), version_base="1.3"):
        words = [*words, f"hydra.searchpath=[file://{Path.cwd()}]", "output_dir=x"]
        cfg = compose("config", words, return_hydra_config=True)
    HydraConfig.instance().set_config(cfg)
    return cfg


def said(*words):
    """The one line that checking these words ends in."""
    try:
        cfg = job(*words)
        del cfg._content["hydra"]
        config.check(cfg)
    except Exception as error:
        return explain(error)
    pytest.fail("nothing was found")


def test_the_last_file_that_sets_a_key_is_named_and_the_command_line_wins(team):
    team(preset__ours=f"{OVERLAY}optimizer:\n  lr: 0.1\ntrainer:\n  max_epochs: 2\n")
    job("preset=ours", "trainer.max_epochs=3")
    assert provenance.origin("optimizer.lr") == "preset/ours.yaml:3"
    assert provenance.origin("trainer.max_epochs") == "on the command line"
    lines = (conf_folder() / "optimizer" / "adamw.yaml").read_text().splitlines()
    number = next(n for n, line in enumerate(lines, 1) if line.startswith("weight_decay"))
    assert provenance.origin("optimizer.weight_decay") == f"conf/optimizer/adamw.yaml:{number}"


def test_a_key_of_an_option_that_another_one_begins_with(team):
    job("trainer=mixed")
    assert provenance.origin("trainer.precision") == "conf/trainer/mixed.yaml:5"
    assert provenance.origin("trainer.max_epochs").startswith("conf/trainer/default.yaml:")


def test_of_an_absent_key_its_option_is_named(team):
    job("strategy=finetune")
    assert provenance.origin("optimizer.lrr").startswith("conf/optimizer/adamw.yaml:")
    assert provenance.origin("nothing.at.all") == ""


def test_a_word_of_a_sweep_preset_is_in_its_file(team):
    team(sweep__ours=f"{OVERLAY}hydra:\n  sweeper:\n    params:\n      seed: 1,2\n")
    job("sweep=ours", "seed=1")  # as Hydra's sweeper composes one of the jobs
    assert provenance.origin("seed") == "sweep/ours.yaml:5"


def test_without_a_job_nobody_is_named():
    assert provenance.origin("optimizer.lr") == ""


@pytest.mark.parametrize(
    ("text", "message"),
    [
        (
            f"{MLP}\nhidden: {{8\ndropout: 0.1\n",
            "head/ours.yaml:3: expected ',' or '}', but got ':'",
        ),
        (
            f"{MLP}\nhidden: 8}}\ndropout: 0.1\n",
            "head.hidden=8}: must be an integer (head/ours.yaml:2)",
        ),
        (f"{MLP}\n\thidden: 8\n", "head/ours.yaml:2: a tab at the beginning of a line; YAML wants"),
        (f"{MLP}\nhidden: 8\nhidden: 9\n", "head/ours.yaml:3: hidden stands there twice"),
        (b"# \xff\n", "head/ours.yaml: not a text in UTF-8"),
        ("", "head: must be settings with a _target_, as head/ours.yaml should give"),
        ("- 1\n", "head: must be settings with a _target_, as head/ours.yaml should give"),
        (
            f"{MLP}\nhidden: [8]\ndropout: 0.1\n",
            "head.hidden=[8]: must be an integer (head/ours.ya",
        ),
        (
            f"{MLP}\nhidden: ???\ndropout: 0.1\n",
            "head.hidden is not set; add head.hidden=<value> (h",
        ),
        (f"{MLP}\nhidden: ${{optimizer.lrr}}\n", "did you mean 'optimizer.lr'? (head/ours.yaml:2)"),
        (f"{MLP}\nhidden: ${{optimizer.lr\n", "head/ours.yaml:2: not of the form ${key}"),
        (f"{MLP}\nhiden: 8\ndropout: 0.1\n", "did you mean 'hidden'? (head/ours.yaml:2)"),
        (
            f"defaults:\n  - mpl\n{MLP}\n",
            "head/ours.yaml:2: head=mpl: no such option; did you mean",
        ),
        ("defaults: mlp\n", "head/ours.yaml: defaults: must be a list of '- option'"),
        (
            f"# @package nowhere\n{MLP}\n",
            "nowhere: no such key, nothing reads it (head/ours.yaml:2)",
        ),
    ],
)
def test_what_is_wrong_with_an_option_is_in_its_file(team, text, message):
    team(head__ours=text)
    line = said("head=ours")
    assert message in line
    assert "\n" not in line


@pytest.mark.parametrize(
    ("text", "message"),
    [
        (f"{OVERLAY}optimizer:\n  lrr: 3\n", "did you mean 'lr'? (preset/ours.yaml:3)"),
        (f"{OVERLAY}optimizer: 3\n", "optimizer: must be settings with a _target_, as conf/optim"),
        ("optimizer:\n  lr: 3\n", "a file of this group begins with '# @package _global_'"),
        (f"# why\n{OVERLAY}seed: 3\n", "a file of this group begins with '# @package _global_'"),
        (f"{OVERLAY}defaults:\n  - override /haed: mlp\n", "preset/ours.yaml:3: haed: no such key"),
        (f"{OVERLAY}defaults:\n  - override /head: mpl\n", "preset/ours.yaml:3: head=mpl: no such"),
        (
            f"{OVERLAY}defaults:\n  - /head: mlp\n",
            "head is chosen already: head=<option> without +",
        ),
        (
            f"{OVERLAY}hydra:\n  jobb: 3\n",
            "preset/ours.yaml:3: hydra.jobb: only the command line may say this",
        ),
    ],
)
def test_what_is_wrong_with_a_preset_is_in_its_file(team, text, message):
    team(preset__ours=text)
    assert message in said("preset=ours")


@pytest.mark.parametrize(
    ("word", "message"),
    [
        ("optimizer=null", "optimizer=null: an option of a group is a word"),
        ("+optimizer.lr=3", "+optimizer.lr: there is such a key; leave the + out"),
        ("+optimizer=adamw", "optimizer is chosen already: optimizer=<option> without +"),
        ("~optimizer.lrr", "optimizer.lrr: no such key; did you mean 'optimizer.lr'"),
        ("sed@x=3", "sed@x=3: no such group"),
        ("optimizer.lr=[1]", "optimizer.lr=[1]: must be a number or auto (on the command line)"),
        ("optimizer.lr=${optimizer.lrr}", "'optimizer.lr'? (on the command line)"),
        ("tags={a:1}", "tags={a:1}: must be a list"),
        ("strategy=ünï", "letters beyond a to z wants quotes of its own"),
        ("seed=choice(1,2)", "seed=choice(1,2): several values make a sweep: add -m"),
        ("hydra.mode=MULTI", "hydra.mode=MULTI: must be one of RUN, MULTIRUN"),
        ("hydra.callbacks=3", "hydra.callbacks=3: must be settings, {key: value}"),
        ("hydra.run.dir=null", "hydra.run.dir=null: cannot be null"),
        ("=", "=: not of the form key=value"),
        ("~balance=weights", "~balance=weights: this is not what is chosen"),
        ("=", "--help shows what there is"),
        ("head@x=mlp", "head@x: the place of head is head; leave @x out"),
        (f"head={'x' * 400}", "xxx…: no such option (there are conv_mlp, linear, mlp)"),
        ("optimizer.betas.x=1", "optimizer.betas.x=1: this is a list, whose places are numbers"),
    ],
)
def test_what_is_wrong_with_a_word_is_said_in_ours(team, word, message):
    assert message in said(word)


def test_a_mistake_elsewhere_is_not_given_a_place():
    assert explain(RegraftError("it", key="optimizer.lr")) == "it"


def test_an_overlay_without_its_header_is_told_so(team):
    team(strategy__ours="# c\ndefaults:\n  - override /freeze: none\nstrategy: {name: ours}\n")
    assert said("strategy=ours") == (
        "strategy/ours.yaml:3: override /freeze: not from here; a strategy, preset or sweep begins "
        "with '# @package _global_', on its first line"
    )
