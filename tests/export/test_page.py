"""docs/export.md: its commands run, and its five lines of Python say what it says."""

import re
import shlex

import exports
import pytest

from regraft import cli
from regraft.export.formats import FORMATS


@pytest.fixture
def page(repository):
    return (repository / "docs" / "export.md").read_text()


@pytest.mark.slow
def test_what_the_page_shows_is_what_happens(page, tmp_path, monkeypatch, capsys):
    exports.make_run(
        tmp_path / "runs" / "digits", "fractal_resnet", None, classes=tuple("0123456789")
    )
    monkeypatch.chdir(tmp_path)
    shown = page.split("$ regraft export ")[1].split("$ ")[0]
    words, *lines = shown.strip().splitlines()
    monkeypatch.setattr("sys.argv", ["regraft", "export", *shlex.split(words)])
    with pytest.raises(SystemExit) as end:
        cli.main()
    assert not end.value.code
    # Other weights and another version differ by other numbers.
    number = re.compile(r"[\d.]+(e-\d+)?\b")
    said = capsys.readouterr().out.splitlines()
    assert [number.sub("#", line) for line in said] == [number.sub("#", line) for line in lines]

    [program] = re.findall(r"```python\n(.*?)```", page, re.DOTALL)
    exec(compile(program, "export.md", "exec"), {})
    assert 0 < float(capsys.readouterr().out) < 1e-2


def test_the_page_has_every_format(page):
    for name, format in FORMATS.items():
        [row] = re.findall(rf"^\| `{name}` .*$", page, re.MULTILINE)
        assert f"`{format.file}`" in row
