"""What is built is complete: the sdist makes the wheel, and what is in the wheel runs."""

import re
import shutil
import subprocess
import sys
import zipfile
from pathlib import Path

import pytest
from wheels import built, run

NOT_PACKAGED = {"__pycache__", ".DS_Store"}
# As an entry point does, but with the wheel's content in front of whatever is installed.
ENTER = """
import sys
sys.path.insert(0, sys.argv.pop(1))
from importlib.metadata import entry_points
import regraft.conf
print(regraft.__file__, regraft.conf.__file__)
[command] = {(one.name, one.value): one for one in entry_points(
    group="console_scripts", name="regraft")}.values()
sys.argv[0] = "regraft"
command.load()()
"""


def files_under(folder: Path) -> set[str]:
    return {
        path.relative_to(folder).as_posix()
        for path in folder.rglob("*")
        if path.is_file() and not NOT_PACKAGED & set(path.parts)
    }


def test_the_wheel_is_whole_and_its_command_composes_from_any_folder(
    repository: Path, tmp_path: Path
):
    """In an environment of its own it is installed by tests/nightly/test_packaging.py."""
    (tmp_path / "dist").mkdir()
    wheel = built(repository, tmp_path / "dist")
    with zipfile.ZipFile(wheel) as archive:
        sizes = {info.filename: info.file_size for info in archive.infolist()}
        archive.extractall(tmp_path / "content")
    names = {name for name in sizes if ".dist-info/" not in name}
    package = {f"regraft/{name}" for name in files_under(repository / "src" / "regraft")}
    conf = {f"regraft/conf/{name}" for name in files_under(repository / "conf")}
    assert "regraft/conf/config.yaml" in names
    assert names == package | conf

    weights = [name for name in sizes if name.endswith(".safetensors")]

    assert weights
    for name in weights:
        assert name.startswith("regraft/")
        assert sizes[name] < 5_000_000
        assert name.removesuffix(".safetensors") + ".md" in sizes

    (tmp_path / "empty").mkdir()
    command = [sys.executable, "-c", ENTER, tmp_path / "content", "train", "--cfg", "job"]
    done = run(*command, cwd=tmp_path / "empty")
    assert done.returncode == 0, done.stdout + done.stderr
    first, _, shown = done.stdout.partition("\n")
    for module in first.split(" "):
        assert Path(module).is_relative_to(tmp_path / "content")
    assert "\nstrategy:" in f"\n{shown}"
    assert list((tmp_path / "empty").iterdir()) == []


@pytest.mark.skipif(not shutil.which("make"), reason="there is no make")
@pytest.mark.parametrize(
    ("verb", "lock"),
    [
        ("quickstart", "requirements.txt"),
        ("test-fast", "constraints.txt"),
        ("lint", "constraints.txt"),
        ("install", "constraints.txt"),
    ],
)
def test_a_verb_installs_what_it_needs_and_no_more(verb, lock, repository, tmp_path):
    for name in ("Makefile", "install.py", "pyproject.toml", "requirements.txt", "constraints.txt"):
        shutil.copy(repository / name, tmp_path)
    done = subprocess.run(["make", "-n", verb], cwd=tmp_path, capture_output=True, text=True)
    assert re.findall(r"install\.py (\S+)", done.stdout) == [lock], done.stderr
