"""What is installed is complete: the sdist makes the wheel, the wheel runs from any folder."""

import json
import os
import subprocess
import sys
import sysconfig
import tomllib
import venv
import zipfile
from itertools import chain
from pathlib import Path

import pytest

# One worker builds once for all of these.
pytestmark = pytest.mark.xdist_group("packaging")

NOT_PACKAGED = {"__pycache__", ".DS_Store"}


def run(*words: str | Path, cwd: Path, **more: str) -> subprocess.CompletedProcess[str]:
    # Without PYTHONPATH: the source tree must not stand in for what the wheel lacks.
    env = {name: value for name, value in os.environ.items() if name != "PYTHONPATH"} | more
    return subprocess.run(
        [str(word) for word in words],
        cwd=cwd,
        env=env,
        stdin=subprocess.DEVNULL,
        capture_output=True,
        text=True,
        timeout=300,
    )


def files_under(folder: Path) -> set[str]:
    return {
        path.relative_to(folder).as_posix()
        for path in folder.rglob("*")
        if path.is_file() and not NOT_PACKAGED & set(path.parts)
    }


@pytest.fixture(scope="module")
def wheel(repository: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The wheel, built from the sdist, with the build tools that are installed."""
    out = tmp_path_factory.mktemp("dist")
    build = [sys.executable, "-m", "build", "--no-isolation", "--outdir", out]
    done = run(*build, cwd=repository)

    assert done.returncode == 0, done.stdout + done.stderr
    assert len(list(out.glob("*.tar.gz"))) == 1
    [wheel] = out.glob("*.whl")
    return wheel


@pytest.fixture(scope="module")
def installed(wheel: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The bin folder of a fresh environment: the wheel, and the dependencies of the running one.

    The added line of a .pth file is not searched for further .pth files, so an editable regraft in
    the running environment stays out of sight.
    """
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


@pytest.mark.slow
def test_the_wheel_holds_the_package_and_the_whole_config_tree(wheel: Path, repository: Path):
    with zipfile.ZipFile(wheel) as archive:
        names = {name for name in archive.namelist() if ".dist-info/" not in name}
    package = {f"regraft/{name}" for name in files_under(repository / "src" / "regraft")}
    conf = {f"regraft/conf/{name}" for name in files_under(repository / "conf")}

    assert "regraft/conf/config.yaml" in names
    assert names == package | conf


@pytest.mark.slow
def test_the_wheel_holds_embedded_weights_each_with_its_card(wheel: Path):
    with zipfile.ZipFile(wheel) as archive:
        sizes = {info.filename: info.file_size for info in archive.infolist()}
    weights = [name for name in sizes if name.endswith(".safetensors")]

    assert weights
    for name in weights:
        assert name.startswith("regraft/")
        assert sizes[name] < 5_000_000
        assert name.removesuffix(".safetensors") + ".md" in sizes


@pytest.mark.slow
def test_the_installed_package_is_the_one_from_the_wheel(installed: Path, tmp_path: Path):
    code = "import regraft, regraft.conf; print(regraft.__file__); print(regraft.conf.__file__)"
    done = run(installed / "python", "-c", code, cwd=tmp_path)

    assert done.returncode == 0, done.stderr
    for line in done.stdout.splitlines():
        assert Path(line).resolve().is_relative_to(installed.parent.resolve())


@pytest.mark.slow
def test_the_installed_command_composes_the_config_from_any_folder(installed: Path, tmp_path: Path):
    done = run(installed / "regraft", "train", "--cfg", "job", cwd=tmp_path)

    assert done.returncode == 0, done.stdout + done.stderr
    assert "\nstrategy:" in f"\n{done.stdout}"
    assert list(tmp_path.iterdir()) == []


@pytest.mark.slow
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


@pytest.mark.slow
def test_the_installed_command_explains_itself(installed: Path, tmp_path: Path):
    done = run(installed / "regraft", "train", "--help", cwd=tmp_path)

    assert done.returncode == 0, done.stdout + done.stderr
    assert "strategy" in done.stdout


def test_constraints_pin_every_direct_dependency_once_and_name_no_place(repository: Path):
    lines = (repository / "constraints.txt").read_text().splitlines()
    pins = [line for line in lines if line and not line.startswith("#")]
    names = [pin.split("==")[0].lower().replace("_", "-") for pin in pins]
    project = tomllib.loads((repository / "pyproject.toml").read_text())["project"]
    wanted = list(chain(project["dependencies"], *project["optional-dependencies"].values()))

    assert {requirement.split(">=")[0] for requirement in wanted} <= set(names)
    assert len(names) == len(set(names))
    assert not [pin for pin in pins if "://" in pin or "@" in pin or pin.count("==") != 1]
