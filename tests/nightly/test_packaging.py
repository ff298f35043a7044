"""The wheel in an environment of its own, from any folder, and a team's package beside it."""

import json
import os
import sys
import sysconfig
import venv
from pathlib import Path

import pytest
from wheels import built, run


@pytest.fixture(scope="module")
def installed(repository: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The bin folder of a fresh environment: the wheel, and the dependencies of the running one.

    The added line of a .pth file is not searched for further .pth files, so an editable regraft in
    the running environment stays out of sight.
    """
    wheel = built(repository, tmp_path_factory.mktemp("dist"))
    home = tmp_path_factory.mktemp("environment")
    venv.create(home, with_pip=False)
    bin_folder = home / ("Scripts" if os.name == "nt" else "bin")
    python = bin_folder / "python"
    pip = [sys.executable, "-m", "pip", "--python", python, "install", "--no-deps", "--no-index"]
    done = run(*pip, wheel, cwd=home)
    assert done.returncode == 0, done.stdout + done.stderr

    where = run(python, "-c", "import sysconfig; print(sysconfig.get_path('purelib'))", cwd=home)
    here = {sysconfig.get_path("purelib"), sysconfig.get_path("platlib")}
    (Path(where.stdout.strip()) / "dependencies.pth").write_text("\n".join(sorted(here)))
    return bin_folder


def test_the_installed_package_is_the_one_from_the_wheel(installed: Path, tmp_path: Path):
    code = "import regraft, regraft.conf; print(regraft.__file__); print(regraft.conf.__file__)"
    done = run(installed / "python", "-c", code, cwd=tmp_path)

    assert done.returncode == 0, done.stderr
    for line in done.stdout.splitlines():
        assert Path(line).resolve().is_relative_to(installed.parent.resolve())


def test_the_installed_command_composes_the_config_from_any_folder(installed: Path, tmp_path: Path):
    done = run(installed / "regraft", "train", "--cfg", "job", cwd=tmp_path)

    assert done.returncode == 0, done.stdout + done.stderr
    assert "\nstrategy:" in f"\n{done.stdout}"
    assert list(tmp_path.iterdir()) == []


def test_a_teams_package_adds_a_head_and_data_and_replaces_a_strategy(
    installed: Path, repository: Path, tmp_path: Path
):
    """The worked example, installed beside the wheel and used from a folder of its own."""
    example = repository / "examples" / "team-presets"
    pip = [sys.executable, "-m", "pip", "--python", installed / "python", "install", "--no-deps"]
    done = run(*pip, "--no-index", "--no-build-isolation", example, cwd=tmp_path)
    assert done.returncode == 0, done.stdout + done.stderr

    env = {"REGRAFT_CONFIG_PATH": "pkg://team_presets.conf"}
    words = ["preset=inspection", "trainer.max_epochs=1", "trainer.accelerator=cpu", "logger=none"]
    untrusted = run(installed / "regraft", "train", *words, cwd=tmp_path, **env)
    assert untrusted.returncode == 1
    assert "REGRAFT_TRUST=team_presets" in untrusted.stderr.splitlines()[-1]

    env["REGRAFT_TRUST"] = "team_presets"
    words.append("hydra.run.dir=run")
    done = run(installed / "regraft", "train", *words, cwd=tmp_path, **env)
    assert done.returncode == 0, done.stdout + done.stderr
    said = done.stdout.splitlines()[0]
    assert said.startswith("strategy/feature_extraction is that of pkg://team_presets.conf: ")
    result = json.loads((tmp_path / "run" / "result.json").read_text())
    assert result["data"]["name"] == "fabric"
    assert result["choices"]["head"] == "cosine"
    sources = {name: source["replaces"] for name, source in result["sources"].items()}
    replaced = sources.pop("strategy/feature_extraction")
    assert Path(replaced).is_relative_to(installed.parent)
    assert sources == {"data/fabric": None, "head/cosine": None, "preset/inspection": None}

    listed = run(installed / "regraft", "presets", "head", cwd=tmp_path, **env)
    assert "head=cosine" in listed.stdout, listed.stderr
    checked = run(installed / "regraft", "validate", cwd=tmp_path, **env)
    assert checked.returncode == 0, checked.stdout + checked.stderr
    assert ", 4 not shipped; " in checked.stdout


def test_the_installed_command_explains_itself(installed: Path, tmp_path: Path):
    done = run(installed / "regraft", "train", "--help", cwd=tmp_path)

    assert done.returncode == 0, done.stdout + done.stderr
    assert "strategy" in done.stdout
