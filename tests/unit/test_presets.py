import io

import pytest
from rich.console import Console

from regraft import presets
from regraft.errors import RegraftError


def table(group=None, config_dir=None):
    console = Console(file=io.StringIO(), width=160)
    presets.show(console, group, config_dir)
    return console.file.getvalue()


@pytest.fixture
def team(tmp_path):
    (tmp_path / "head").mkdir()
    for name in ("mlp", "own"):
        text = "\n# @package head\n# What [b]we[/b] use\x1b[31m.\n# And more.\n"
        (tmp_path / "head" / f"{name}.yaml").write_text(text.lstrip("\n"))
    return tmp_path


def test_all_options_of_all_groups_are_listed_with_what_they_are_for():
    lines = table().splitlines()
    assert lines[0].split() == ["group=option", "from", "what", "for"]
    [mlp] = [line for line in lines if line.startswith("head=mlp ")]
    assert mlp.split(maxsplit=2)[1] == "shipped"
    assert mlp.split(maxsplit=2)[2].strip()
    assert any(line.startswith("strategy=finetune ") for line in lines)
    assert not any(line.startswith("hydra/") for line in lines)
    assert table("hydra/help").splitlines()[1].startswith("hydra/help=regraft")


def test_a_teams_options_are_among_them_and_hide_the_shipped_ones(team):
    text = table("head", str(team))
    rows = {line.split()[0]: " ".join(line.split()[1:]) for line in text.splitlines()[1:]}
    assert "hides that of shipped" in " ".join(text.split())
    assert rows["head=linear"].startswith("shipped")
    assert "What [b]we[/b] use[31m." in rows["head=own"]  # as written, without control characters
    assert "\x1b" not in text
    assert "And more" not in text
    assert f"{team}: {team}" in text


def test_a_group_that_there_is_not_has_a_nearest_one():
    with pytest.raises(RegraftError, match=r"^strateg: no such group; did you mean 'strategy'\?$"):
        table("strateg")
    with pytest.raises(RegraftError, match=r"^xyz: no such group; there are augment, backbone"):
        table("xyz")


def test_a_folder_that_there_is_not_is_named(tmp_path):
    with pytest.raises(RegraftError, match=r"--config-dir=.*nowhere: no such folder"):
        table(config_dir=str(tmp_path / "nowhere"))
