"""Where YAML is looked for: in the folders of teams first, then in what is shipped.

REGRAFT_CONFIG_PATH names them, `--config-dir` one more for a single call. Nothing heavy is
imported here: every command line passes.
"""

import os
import pkgutil
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass
from importlib.util import find_spec
from pathlib import Path

from hydra.conf import HydraConf
from hydra.core.config_search_path import ConfigSearchPath
from hydra.core.plugins import Plugins
from hydra.plugins.search_path_plugin import SearchPathPlugin

from regraft import provenance
from regraft.errors import RegraftError, did_you_mean
from regraft.hydra_internals import search_path
from regraft.hydra_loader import Loader
from regraft.paths import conf_folder

VARIABLE = "REGRAFT_CONFIG_PATH"
SHIPPED = "shipped"
HYDRAS_OWN = ("main", "hydra", "schema")  # providers of what is no team's

_for_this_call: list["Entry"] = []  # of --config-dir


@dataclass(frozen=True)
class Entry:
    """A folder of config groups, and how the user named it."""

    name: str
    folder: Path

    def find(self, config_path: str) -> Path | None:
        """The file of `head/mlp`, if this folder has it."""
        file = self.folder / f"{config_path}.yaml"
        return file if file.is_file() else None


def entries(first: Sequence[Entry] = ()) -> list[Entry]:
    """All of them, the first to be asked first; what is shipped is the last.

    Raises RegraftError for one that is not there.
    """
    words = os.environ.get(VARIABLE, "").split(";")
    named = [entry for word in words if word.strip() for entry in read(word.strip(), VARIABLE)]
    return [*first, *_for_this_call, *named, Entry(SHIPPED, conf_folder())]


def read(word: str, where: str) -> list[Entry]:
    """The folder of a path, of `file:///path` or of `pkg://package`, which may lie in several.

    `where` is what the user set to it. Raises RegraftError naming the nearest that is there.
    """
    scheme, separator, rest = word.partition("://")
    if not separator:
        scheme, rest = "file", word
    if scheme == "pkg":
        return [Entry(word, folder) for folder in _folders_of_package(rest, where)]
    if scheme != "file":
        raise RegraftError(f"{where}={word}: give a folder, file:///<folder> or pkg://<package>")
    folder = Path(rest).expanduser().absolute()
    if not folder.is_dir():
        near = _folders_in(folder.parent) if folder.parent.is_dir() else ()
        raise RegraftError(f"{where}={word}: no such folder{did_you_mean(folder.name, near)}")
    _refuse_what_holds_no_groups(folder, f"{where}={word}")
    return [Entry(word if "/" in word else f"./{word}", folder)]  # no name that Hydra gives too


def _refuse_what_holds_no_groups(folder: Path, where: str) -> None:
    """Raises RegraftError for the folder above the one that is meant."""
    groups = {path.name for path in conf_folder().iterdir() if path.is_dir()}
    inside = [path for path in folder.iterdir() if path.is_dir()]
    if groups.isdisjoint(path.name for path in inside):
        for path in inside:
            if not groups.isdisjoint(_folders_in(path)):
                raise RegraftError(f"{where}: holds no options; did you mean {path}?")


def _folders_of_package(package: str, where: str) -> list[Path]:
    try:
        spec = find_spec(package)
    except (ImportError, ValueError):  # of a parent, of no name at all
        spec = None
    if spec is not None and spec.submodule_search_locations:
        return [Path(folder) for folder in spec.submodule_search_locations]
    if spec is not None:
        raise RegraftError(f"{where}=pkg://{package}: a module, not a package that holds YAML")
    raise RegraftError(
        f"{where}=pkg://{package}: no such package is installed"
        f"{did_you_mean(package, _packages_near(package))}"
    )


def _packages_near(package: str) -> Iterator[str]:
    """The packages beside one that is not there, or the parent that is not there either."""
    parent, _, _ = package.rpartition(".")
    try:
        spec = find_spec(parent) if parent else None
    except (ImportError, ValueError):
        spec = None
    folders = list(spec.submodule_search_locations or ()) if spec else []
    if not folders:
        parent = ""
    prefix = f"{parent}." if parent else ""
    yield from (f"{prefix}{module.name}" for module in pkgutil.iter_modules(folders or None))
    for folder in map(Path, folders):  # without an __init__.py
        yield from (f"{prefix}{name}" for name in _folders_in(folder))


def _folders_in(folder: Path) -> Iterator[str]:
    return (path.name for path in folder.iterdir() if path.is_dir())


class TeamFolders(SearchPathPlugin):
    """Puts the folders of teams in front of what is shipped. Hydra appends, and then would take the
    shipped file of a name without a word."""

    def manipulate_search_path(self, search_path: ConfigSearchPath) -> None:
        for entry in entries()[:-1]:
            search_path.prepend(entry.name, f"file://{entry.folder}", anchor="main")


def use(config_dir: str | None = None) -> None:
    """Let Hydra ask the folders of teams in this process, and before them `config_dir`.

    Raises RegraftError for one that is not there.
    """
    _for_this_call[:] = read(config_dir, "--config-dir") if config_dir is not None else []
    entries()  # what is not there is said by us, in one line
    Plugins.instance().register(TeamFolders)


def loader(sources: Iterable[tuple[str, str]]) -> Loader:
    """A loader of providers and their paths, in this order, without Hydra's global state."""
    return Loader(search_path(sources))


@dataclass(frozen=True)
class Used:
    """A file that a job is composed of and that is not shipped, and what it replaces."""

    config: str  # as in head/mlp
    entry: str
    file: Path
    replaces: Path | None

    @property
    def words(self) -> str:
        """For the terminal, where a shipped option means something else than its documentation."""
        return f"{self.config} is that of {self.entry}: {self.file} replaces {self.replaces}"

    def as_dict(self) -> dict[str, str | None]:
        """For result.json."""
        replaces = str(self.replaces) if self.replaces else None
        return {"from": self.entry, "file": str(self.file), "replaces": replaces}


def used(hydra: HydraConf, words: Sequence[str] | None = None) -> list[Used]:
    """What a job is composed of that is not shipped; `hydra` is Hydra's own part of its config.

    With `words`, a job of these overrides instead.
    """
    folders = [Entry(s.provider, Path(s.path)) for s in hydra.runtime.config_sources]
    if all(folder.name in HYDRAS_OWN for folder in folders):
        return []
    names = dict.fromkeys(default.config_path for default in provenance.defaults(hydra, words))
    return [found for name in names if name and (found := _team_file(name, folders))]


def _team_file(config: str, folders: Sequence[Entry]) -> Used | None:
    having = [(entry, file) for entry in folders if (file := entry.find(config))]
    if not having or having[0][0].name in HYDRAS_OWN:
        return None
    entry, file = having[0]
    shipped = [other for behind, other in having if behind.name in HYDRAS_OWN]
    return Used(config, entry.name, file, shipped[0] if shipped else None)


def say_what_is_replaced(hydra: HydraConf, jobs: Iterable[Sequence[str]] | None = None) -> None:
    """A line for each option that is chosen and is not the shipped one of its name.

    `jobs` are the overrides of several jobs, for which each is said once.
    """
    each = jobs if jobs is not None else [provenance.words_of(hydra)]
    found = [file for words in each for file in used(hydra, words)]
    for file in dict.fromkeys(found):
        if file.replaces:
            print(file.words, flush=True)


@dataclass(frozen=True)
class Option:
    """One answer to the question of a group: the file that is taken, and those behind it."""

    group: str
    name: str
    entry: str
    file: Path
    behind: tuple[Entry, ...]  # the entries that have a file of this name too, and are not asked

    @property
    def what_for(self) -> str:
        """The first line of the comment that the file opens with."""
        for line in self.file.read_text(encoding="utf-8", errors="replace").splitlines():
            if not line.startswith("#"):
                break
            if "@package" not in line:
                return "".join(filter(str.isprintable, line.lstrip("# ").rstrip()))
        return ""


def files(folder: Path) -> list[tuple[str, Path]]:
    """Every file of YAML in a folder with its config path, such as head/mlp."""
    found = ((file.relative_to(folder).with_suffix(""), file) for file in folder.rglob("*.yaml"))
    return sorted((path.as_posix(), file) for path, file in found)


def options(searched: Sequence[Entry]) -> list[Option]:
    """All options of all groups, those of teams among the others."""
    paths = {path for entry in searched for path, _ in files(entry.folder) if "/" in path}
    found = []
    for path in sorted(paths):
        first, *behind = [entry for entry in searched if entry.find(path)]
        group, _, name = path.rpartition("/")
        file = first.folder / f"{path}.yaml"
        found.append(Option(group, name, first.name, file, tuple(behind)))
    return found
