"""All that is wrong with a team's folder is told, with file and line, and nothing else is."""

import io
import re
import shutil
from textwrap import indent

import pytest
from rich.console import Console

from regraft.config import GROUPS
from regraft.paths import conf_folder
from regraft.searchpath import SHIPPED, Entry
from regraft.validate import check
from regraft.validate.tree import Tree

TOP = "# @package _global_\n"
# What the tests name, and what it takes. A check composes a job of each option;
# tests/nightly/test_conf.py does so for all that is shipped.
KEPT = {
    *("data/digits", "data/image_folder", "freeze/all", "freeze/custom", "freeze/none"),
    *("head/mlp", "head/linear", "optimizer/adamw"),
    *("strategy/feature_extraction", "strategy/finetune"),
}


@pytest.fixture(scope="session")
def shipped(tmp_path_factory):
    """A small tree like the shipped one: of most groups, the default is part of config.yaml."""
    folder = tmp_path_factory.mktemp("shipped") / "conf"
    shutil.copytree(conf_folder(), folder, ignore=shutil.ignore_patterns("__pycache__"))
    primary = (folder / "config.yaml").read_text()
    kept = {name.partition("/")[0] for name in KEPT}
    for group, option in re.findall(r"^  - (\w+): (\w+)$", primary, re.MULTILINE):
        if group not in kept | {"preset", "sweep"}:
            primary = primary.replace(f"  - {group}: {option}\n", "")
            if option not in ("null", "none") or group in GROUPS:
                text = (folder / group / f"{option}.yaml").read_text()
                primary += f"\n{group}:\n" + indent(text, "  ")
            shutil.rmtree(folder / group)
    for file in folder.glob("*/*.yaml"):
        if file.relative_to(folder).with_suffix("").as_posix() not in KEPT:
            file.unlink()
    (folder / "config.yaml").write_text(primary)
    return Entry(SHIPPED, folder)


@pytest.fixture
def wrong(shipped, tmp_path):
    """Checks a team's files and gives what is wrong with them: "file:line" and words."""

    def check_files(**texts):
        for path, text in texts.items():
            file = tmp_path / f"{path.replace('__', '/')}.yaml"
            file.parent.mkdir(parents=True, exist_ok=True)
            file.write_text(text)
        found = check.validate([Entry("team", tmp_path), shipped]).faults
        return [(f"{f.file.relative_to(tmp_path)}:{f.line}", f.text) for f in found]

    return check_files


def test_all_errors_of_all_files_are_told(wrong):
    found = wrong(
        head__typos="# c\n_target_: regraft.head.mlp\nhidden: abc\ndropuot: 0.1\ndropout: 2\n",
        head__absent="# c\n_target_: regraft.head.mlp\ndropout: 0.1\n",
        head__nowhere="# c\n_target_: regraft.head.mpl\n",
        head__system="# c\n_target_: os.system\ncommand: ls\n",
        preset__option=f"{TOP}# c\ndefaults:\n  - override /data: digitz\n",
        preset__group=f"{TOP}# c\ndefaults:\n  - override /dta: digits\n",
        preset__key=f"{TOP}# c\nbackbone:\n  wieghts: random\nsed: 3\n",
        preset__hydra=f"{TOP}# c\nhydra:\n  run: {{dir: x}}\n  verbos: true\n",
        preset__stray=f"{TOP}# c\ntrainer: {{max_epochs: 3}}}}\n",
        preset__takes=f"{TOP}# c\ndefaults:\n  - override /head: mlp\noptimizer:\n"
        "  backbone_ratio: 0.3\n  weight_decay: 0.1\n",
        strategy__ours=f"{TOP}# c\noptimizer:\n  stage_deacy: 0.5\n",
        sweep__ours=f"{TOP}# c\nhydra:\n  sweeper:\n    params:\n"
        "      strategy: finetune,scrach\n      optimizer.lr: 1e-3,abc\n      seed: range(2)\n",
    )
    expected = {
        "head/absent.yaml:2": "head.hidden is not set",
        "head/nowhere.yaml:2": "regraft.head.mpl: no such class or function",
        "head/system.yaml:2": "os.system: ",
        "head/typos.yaml:3": "head.hidden=abc: must be an integer",
        "head/typos.yaml:4": "head..*did you mean 'dropout'",
        "head/typos.yaml:5": "head.dropout=2: must be less than 1",
        "preset/group.yaml:4": "dta: no such key; did you mean 'data'",
        "preset/hydra.yaml:4": "^hydra.run.dir: only the command line may say this",
        "preset/key.yaml:4": "backbone.wieghts: .* did you mean 'weights'",
        "preset/key.yaml:5": "sed: no such key, .*; did you mean 'seed'",
        "preset/option.yaml:4": "data=digitz: no such option; did you mean 'digits'",
        "preset/stray.yaml:3": "no YAML: .*found '}'",
        "preset/takes.yaml:4": "head belongs to the strategies",
        "preset/takes.yaml:6": "optimizer.backbone_ratio belongs to the strategies",
        "strategy/ours.yaml:4": "optimizer.stage_deacy: .* did you mean 'stage_decay'",
        "sweep/ours.yaml:6": "strategy=scrach: no such option",
        "sweep/ours.yaml:7": "optimizer.lr=abc: must be a number",
    }
    said = dict(found)
    assert sorted(said) == sorted(expected)
    assert len(found) == len(said)
    for place, words in expected.items():
        assert re.search(words, said[place]), (place, said[place])


def test_what_is_right_has_no_fault_whatever_is_left_to_the_user(wrong):
    found = wrong(
        head__own="# c\n_target_: regraft.head.mlp\nhidden: ???\ndropout: ???\n",
        freeze__own="# c\n_target_: regraft.plan.custom\nactions: ???\nfixed_norm_below: ???\n",
        # Another ratio for strategies that set none is the optimizer's own affair.
        optimizer__mild="# c\ndefaults: [adamw]\nbackbone_ratio: 0.01\n",
        preset__own=f"{TOP}# c\ndefaults:\n  - override /data: image_folder\n"
        "  - override /optimizer: mild\nseed: ???\n"
        "tags: ???\nloader:\n  batch_size: ???\n  workers: ${seed}\n",
    )
    assert found == []


def test_a_default_that_does_not_compose_hides_no_other_fault(wrong):
    found = wrong(
        strategy__feature_extraction=f"{TOP}# c\ndefaults:\n  - override /head: lineer\n",
        head__typo="# c\n_target_: regraft.head.mlp\nhidden: 3\ndropout: 2\n",
    )
    assert [place for place, _ in found] == [
        "head/typo.yaml:4",
        "strategy/feature_extraction.yaml:4",
    ]


def test_a_value_that_is_left_open_is_filled_by_what_its_annotation_takes(shipped):
    settings = Tree([shipped]).look("freeze=custom", "data=image_folder").settings
    assert settings["data"]["root"] == "x"
    assert settings["freeze"]["actions"] != "???"


@pytest.mark.parametrize(
    ("text", "code", "said"),
    [
        ("# c\n_target_: regraft.head.linear\ndropout: 0.0\n", 0, "all right: "),
        ("# c\n_target_: regraft.head.linear\ndropuot: 0.0\n", 1, "1 error in 1 file: "),
    ],
)
def test_the_exit_code_and_the_last_line_say_the_same(
    text, code, said, shipped, tmp_path, monkeypatch
):
    (tmp_path / "head").mkdir()
    (tmp_path / "head/own.yaml").write_text(text)
    monkeypatch.chdir(tmp_path)
    monkeypatch.setattr(check, "entries", lambda first=(): [*first, shipped])
    monkeypatch.setattr(check, "overlay_groups", lambda: {"strategy", "preset", "sweep"})
    console = Console(file=io.StringIO())
    assert check.show(console, ".") == code
    lines = console.file.getvalue().splitlines()
    assert lines[-1].startswith(said)
    assert ", 1 not shipped; " in lines[-1]
    assert len(lines) == 1 + code
    assert code == 0 or lines[0].startswith("head/own.yaml:3: head.dropuot: ")
