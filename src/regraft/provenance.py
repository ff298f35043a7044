"""Where a value of the config comes from: a word of the command line, or a line of a file.

Composing is Hydra's; which files it took, and in which order, is asked of Hydra again. Nothing here
is needed while all is well, so it may take a tenth of a second.
"""

import re
import traceback
from collections.abc import Iterator, Sequence
from functools import lru_cache
from importlib import resources
from pathlib import Path
from typing import Any, NamedTuple

import yaml
from hydra.core.default_element import ResultDefault
from hydra.core.hydra_config import HydraConfig
from hydra.types import RunMode
from omegaconf import DictConfig, Node, OmegaConf, open_dict

from regraft.hydra_internals import ConfigLoaderImpl, IConfigRepository, search_path
from regraft.paths import conf_folder


class Entry(NamedTuple):
    """One key of a YAML file."""

    key: str  # dotted, as seen from the top of the file; "" is the file's own mapping
    line: int  # counted from 1
    text: str | None  # the value as written, None for a list or a mapping


def origin(key: str) -> str:
    """Who set a key of the job that Hydra is running, or if nobody did, who set what it is in.

    "on the command line", "conf/head/mlp.yaml:3", or "" where no job is running.
    """
    if not HydraConfig.initialized():
        return ""
    hydra = HydraConfig.get()
    params = (hydra.sweeper.get("params") or {}).keys()
    choices = hydra.runtime.choices
    for word in map(key_of, words_of(hydra)):
        inside = key.startswith(f"{word}.") and word not in choices
        if (word == key or inside) and word not in params:
            return "on the command line"
    key = f"hydra.sweeper.params.{key}" if key in params else key
    layers = list(_layers(hydra))
    while key:  # of an absent key, who set what it should be in
        if places := [at for layer in layers for at in _places(*layer, key)]:
            own = [at for at, is_option in places if is_option]
            return own[-1] if own else places[-1][0]
        key = key.rpartition(".")[0]
    return ""


def _places(path: Path, package: str, key: str) -> Iterator[tuple[str, bool]]:
    """The lines of a file that set a key; True for the file that is the key's own option."""
    for entry in entries(path):
        if key == ".".join(filter(None, (package, entry.key))):
            yield shown(path, entry.line), entry.key == ""


def chosen(group: str) -> Path | None:
    """The file of the option that is chosen for a group of the running job, if there is one."""
    option = HydraConfig.get().runtime.choices.get(group) if HydraConfig.initialized() else None
    return find(_roots_of_job(HydraConfig.get()), f"{group}/{option}") if option else None


def overridden(group: str) -> set[str]:
    """The groups of which the chosen option's file chooses the option: `- override /head: mlp`."""
    if (file := chosen(group)) is None:
        return set()
    keys = (entry.key.rpartition(".")[2] for entry in entries(file) if entry.key[:9] == "defaults.")
    return {key.removeprefix("override /") for key in keys if key.startswith("override /")}


def words_of(hydra: Any) -> list[str]:
    """The words of the command line that made a job; a ${…} in them is not resolved."""
    return as_typed(hydra.overrides.task)


def hydras_words_of(hydra: Any) -> list[str]:
    """The words of the command line that are Hydra's own, hydra.…=…; not resolved either."""
    return as_typed(hydra.overrides.hydra)


def config_dir_of(hydra: Any) -> str | None:
    """The folder that was given with --config-dir."""
    sources = hydra.runtime.get("config_sources") or ()
    return next((str(s.path) for s in sources if s.provider == "command-line"), None)


def told_hydra(hydra: Any) -> dict[str, Any]:
    """What a command line has told Hydra itself, for who goes on with a run."""
    return {"overrides": hydras_words_of(hydra), "config_dir": config_dir_of(hydra)}


def as_typed(words: Any) -> list[str]:
    """A config's list of words; to iterate it would resolve each ${…}."""
    typed: Any = OmegaConf.to_container(words, resolve=False)
    return list(map(str, typed))


def key_of(word: str) -> str:
    """The key or group that a word of the command line is about.

    >>> key_of("++optimizer.lr=3")
    'optimizer.lr'
    """
    return re.sub(r"^[+~]*", "", word).partition("=")[0].partition("@")[0].strip()


def defaults(hydra: Any, words: Sequence[str] | None = None) -> list[ResultDefault]:
    """What a job is composed of, in the order in which it was merged.

    With `words`, a job of these instead of those of the command line.
    """
    words = [*hydras_words_of(hydra), *(words_of(hydra) if words is None else words)]
    found = _loader(hydra).compute_defaults_list(hydra.job.config_name, words, RunMode.RUN)
    return list(found.defaults)


def composed(hydra: Any, words: Sequence[str]) -> tuple[DictConfig, dict[str, str]]:
    """The job that these words mean instead of those of the command line, and its choices."""
    words = [*hydras_words_of(hydra), *words]
    cfg = _loader(hydra).load_configuration(hydra.job.config_name, words, RunMode.RUN)
    made = options_of(cfg.hydra)
    with open_dict(cfg):
        del cfg["hydra"]
    return cfg, made


def options_of(hydra: Any) -> dict[str, str]:
    """Group → option of a job, Hydra's own groups left out."""
    return {k: v for k, v in hydra.runtime.choices.items() if "/" not in k and v is not None}


def _loader(hydra: Any) -> ConfigLoaderImpl:
    """Hydra's own, with the search path of the running job."""
    sources = hydra.runtime.config_sources
    return ConfigLoaderImpl(search_path((s.provider, f"{s.schema}://{s.path}") for s in sources))


def _layers(hydra: Any) -> Iterator[tuple[Path, str]]:
    """The files of a job in the order in which they were merged, each with its package."""
    roots = _roots_of_job(hydra)
    for default in defaults(hydra):
        if path := find(roots, str(default.config_path)):
            yield path, default.package or ""


def _roots_of_job(hydra: Any) -> list[Path]:
    return roots((source.schema, source.path) for source in hydra.runtime.config_sources)


def roots(sources: Any) -> list[Path]:
    """The folders of a search path, given as pairs of scheme and path; the first has precedence."""
    found = []
    for scheme, path in sources:
        if scheme == "file":
            found.append(Path(path))
        elif scheme == "pkg":
            try:
                found.append(Path(str(resources.files(path.replace("/", ".")))))
            except (ImportError, TypeError, ValueError):
                continue
    return found


def find(folders: list[Path], config: str) -> Path | None:
    """The file of a config such as `head/mlp`."""
    name = config.removesuffix(".yaml").strip("/")
    try:
        return next((p for f in folders if (p := f / f"{name}.yaml").is_file()), None)
    except OSError:  # a name that is too long for any file
        return None


def entries(path: Path) -> tuple[Entry, ...]:
    """Every key of a YAML file with its line; none of a file that cannot be read."""
    try:
        return _entries(path.read_text(encoding="utf-8"))
    except (OSError, ValueError, yaml.YAMLError):
        return ()


@lru_cache(maxsize=512)
def _entries(text: str) -> tuple[Entry, ...]:
    root = yaml.compose(text, Loader=yaml.SafeLoader)
    return () if root is None else (Entry("", root.start_mark.line + 1, None), *_walk(root, ""))


def _walk(node: yaml.Node, prefix: str, depth: int = 0) -> Iterator[Entry]:
    if isinstance(node, yaml.MappingNode):
        pairs = [(str(key.value), key.start_mark.line, value) for key, value in node.value]
    elif isinstance(node, yaml.SequenceNode):
        pairs = [(str(i), item.start_mark.line, item) for i, item in enumerate(node.value)]
    else:
        return
    for name, line, value in pairs:
        text = value.value if isinstance(value, yaml.ScalarNode) else None
        yield Entry(f"{prefix}{name}", line + 1, text)
        if depth < 20:  # an anchor may hold itself
            yield from _walk(value, f"{prefix}{name}.", depth + 1)


def shown(path: Path, line: int | None = None) -> str:
    """A file as a person would name it, from the current folder or from the shipped YAML."""
    for base, prefix in ((Path.cwd(), ""), (conf_folder().resolve(), "conf/")):
        if path.resolve().is_relative_to(base):
            path = Path(prefix, path.resolve().relative_to(base))
            break
    return str(path) if line is None else f"{path}:{line}"


class Stopped:
    """What Hydra was doing when an error stopped it, read off the stack."""

    def __init__(self, error: BaseException) -> None:
        self.folders: list[Path] = []  # where it looked for files
        self.reading: Path | None = None  # the file that it was reading
        self.loaded: list[Path] = []  # files that it had read
        self.word: str | None = None  # the word of the command line that it was looking at
        self.refers = ""  # the key of the ${…} that it was resolving
        for frame, _ in traceback.walk_tb(error.__traceback__):
            names = frame.f_locals
            for value in [*names.values()]:
                if not self.refers and isinstance(value, Node) and "_val" in vars(value):
                    self.refers = value._get_full_key(None) if value._is_interpolation() else ""
                if isinstance(value, IConfigRepository):
                    sources = [(s.scheme(), s.path) for s in value.get_sources()]
                    self.folders = roots(sources)
                    names_read = [k.partition("=")[2] for k in getattr(value, "cache", ())]
                    read = [find(self.folders, name) for name in names_read]
                    self.loaded = [path for path in read if path]
            if frame.f_code.co_name == "load_config" and "config_path" in names:
                self.reading = find(self.folders, str(names["config_path"]))
            if word := getattr(names.get("override"), "input_line", None):
                self.word = str(word)

    def place(self, *, key: str = "", value: str | None = None, of: Path | None = None) -> str:
        """The line of a loaded file that holds an entry with the end of this key, and value."""
        for path in [of] if of else self.loaded:
            for entry in entries(path):
                if entry.key.endswith(key) and (value is None or entry.text == value):
                    return shown(path, entry.line)
        return shown(of) if of else ""

    def chooses(self, group: str, option: str) -> str:
        """The line of a loaded file that chooses this option of a group, in its defaults."""
        for path in self.loaded:
            beside = path.parent.as_posix().endswith(f"/{group}")  # and so named without the group
            for entry in entries(path):
                name = entry.key.rpartition(".")[2].removeprefix("override").strip(" /")
                by_group = name == group or (beside and name.isdecimal())
                if entry.text in ([option] if by_group else [f"{group}/{option}"]):
                    return shown(path, entry.line)
        return ""
