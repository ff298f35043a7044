"""Hydra's loader of YAML, which refuses what files of others would make Hydra do by itself.

Hydra builds its callbacks, configures logging and sets environment variables from the config,
before any code of ours sees it. Each file is therefore looked at as it is read, where it is still
known whose it is: ours and Hydra's own may say anything, a team's may say what is listed here, and
what the user types is no file.
"""

import copy
import re
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import yaml
from hydra.core.config_search_path import ConfigSearchPath
from hydra.core.default_element import ResultDefault
from hydra.core.object_type import ObjectType
from hydra.plugins.config_source import ConfigResult
from omegaconf import DictConfig, OmegaConf

import regraft.environment  # noqa: F401, replaces a resolver
from regraft import provenance
from regraft.errors import RegraftError
from regraft.hydra_internals import ConfigLoaderImpl, ConfigRepository, load_with

# What a file of others may set of the node `hydra`: how a search goes, and what a job asks for.
ALLOWED = {
    "sweeper": "params search_space n_trials n_jobs direction study_name max_batch_size "
    "max_failure_rate sampler finalists published",
    "launcher": "n_jobs verbose timeout pre_dispatch batch_size timeout_min cpus_per_task "
    "gpus_per_node tasks_per_node mem_gb nodes name partition qos comment constraint exclude gres "
    "cpus_per_gpu gpus_per_task mem_per_gpu mem_per_cpu account signal_delay_s max_num_timeout "
    "array_parallelism stderr_to_stdout",
}
# Folders that something is written into: a file of others may name those below the run's.
PLACES = {"dirpath", "default_root_dir", "root_dir", "save_dir", "log_dir"}
WRITERS = ("callbacks", "trainer", "logger")  # what is called path in there is written, too
MOST_VALUES = 10_000  # of one file that repeats what it has said
INSIDE = re.compile(r"\$\{output_dir\}(/[\w. -]+)*")
MOST_FILES = 1000  # that are remembered
_parsed: dict[tuple[str, str, str], ConfigResult | None] = {}  # by source, file and text


def install() -> None:
    """Make Hydra load every config of this process with the loader below."""
    load_with(Loader)


class Loader(ConfigLoaderImpl):
    """Hydra's own, with a look at each file. Processes that Hydra starts are given it, too."""

    def __init__(self, config_search_path: ConfigSearchPath) -> None:
        super().__init__(config_search_path)
        self.repository = Repository(config_search_path)

    def _load_single_config(self, default: ResultDefault, repo: Any) -> ConfigResult:
        loaded = super()._load_single_config(default=default, repo=repo)
        path, package = str(default.config_path), default.package or ""
        file = _file(loaded, path)
        if path.startswith("/") or ".." in path.split("/"):
            raise RegraftError(f"{path}: an option lies in a folder of options, not above it")
        if re.match(r"hydra\b", package) and not path.startswith("hydra/"):
            raise RegraftError(f"{file}: may not be put into {package}; it is no option of Hydra's")
        if not _is_ours(loaded) and isinstance(loaded.config, DictConfig):
            refuse(OmegaConf.to_container(loaded.config, resolve=False), file)
        return loaded

    def _process_config_searchpath(
        self, config_name: str | None, parsed_overrides: Any, repo: Any
    ) -> None:
        loaded = repo.load_config(config_name) if config_name else None
        if loaded is not None and not _is_ours(loaded):  # before a package in it is imported
            refuse(OmegaConf.to_container(loaded.config, resolve=False), _file(loaded, config_name))
        super()._process_config_searchpath(config_name, parsed_overrides, repo)


class Repository(ConfigRepository):
    """Hydra's own, but a file that would fill the memory is not made a config.

    What a file's text means is remembered: each job of a sweep is composed from the same files, and
    reading them anew was a quarter of the time.
    """

    def load_config(self, config_path: str) -> ConfigResult | None:
        source = self._find_object_source(config_path, ObjectType.CONFIG)
        if source is None or source.scheme() != "file":
            return super().load_config(config_path)
        file = Path(source.path, f"{config_path.removesuffix('.yaml')}.yaml")
        known = (source.provider, str(file), file.read_text(encoding="utf-8"))
        if known not in _parsed:
            refuse_what_grows(known[-1], str(file))
            if len(_parsed) == MOST_FILES:
                _parsed.clear()
            _parsed[known] = super().load_config(config_path)
        return copy.deepcopy(_parsed[known])  # Hydra merges into what it is given


def refuse_what_grows(text: str, file: str) -> None:
    """Raises RegraftError for YAML that says little and means a lot, by aliases of aliases.

    Ten lines can mean a billion values, and a config holds each of them.
    """
    sizes: dict[int, int] = {}

    def size(node: yaml.Node | None) -> int:
        if not isinstance(node, yaml.CollectionNode):
            return 1
        if id(node) not in sizes:
            sizes[id(node)] = MOST_VALUES + 1  # of one within itself, it has no end
            pairs = isinstance(node, yaml.MappingNode)
            inner = [value for _, value in node.value] if pairs else node.value
            sizes[id(node)] = 1 + sum(map(size, inner))
        return sizes[id(node)]

    if "*" in text and "&" in text and size(yaml.compose(text, yaml.SafeLoader)) > MOST_VALUES:
        raise RegraftError(f"{file}: more than {MOST_VALUES:,} values by aliases (*); write it out")


def _file(loaded: ConfigResult, path: str | None) -> str:
    return f"{loaded.path.removeprefix('file://')}/{str(path).removesuffix('.yaml')}.yaml"


def _is_ours(loaded: ConfigResult) -> bool:
    """Whether it comes from the program's folder, from Hydra's or out of somebody's Python."""
    return loaded.provider in ("main", "hydra") or loaded.path.startswith("structured://")


def refuse(config: Any, file: str) -> None:
    """Raises RegraftError for what a file of others may not say, naming the file and the key."""
    for path, value in _leaves(config):
        objection = ""
        if path[0] == "hydra":
            objection = _objection_of_hydra(path[1:], value)
        elif is_place(path) and not _is_inside(path[-1], value):
            objection = (
                f"={value}: a preset writes below ${{output_dir}} only; give {'.'.join(path)} as a "
                "word of the command line if you want it elsewhere"
            )
        if objection:
            key = ".".join(path)
            raise RegraftError(f"{_place(file, key)}: {key}{objection}", key=key)


def refuse_word(word: str) -> None:
    """Raises RegraftError for a word out of a run's folder that would make Hydra do something.

    Its records were typed by the user once, but they are files now. Where YAML is looked for may
    stay in them: what is found there is a file of others.
    """
    key = word.lstrip("+~").partition("=")[0].partition("@")[0].strip()
    path = tuple(key.split("."))
    harmless = path[0] != "hydra" or path[1:] == ("searchpath",)
    if word.startswith("-") or not (harmless or not _objection_of_hydra(path[1:], word)):
        raise RegraftError(
            f"{word}: not taken out of a folder's records; go on by typing the words again, with "
            "resume=auto and hydra.run.dir=<folder>"
        )


def _place(file: str, key: str) -> str:
    """The file as one would name it, with the line of the key."""
    path = Path(file)
    lines = (entry.line for entry in provenance.entries(path) if entry.key == key)
    return provenance.shown(path, next(lines, None))


def is_place(path: tuple[str, ...]) -> bool:
    """Whether a key names a file or a folder that is written."""
    names = PLACES | {"path", "filename", "dir"} if path[0] in WRITERS else PLACES
    return path[0] != "data" and not names.isdisjoint(path)  # what is in data is read


def _is_inside(key: str, value: Any) -> bool:
    if not isinstance(value, str):
        return value is None
    if key == "filename":  # in a folder that is looked at by itself
        return re.fullmatch(r"[^/\\$]+", value) is not None
    return INSIDE.fullmatch(value) is not None and ".." not in value


def _objection_of_hydra(path: tuple[str, ...], value: Any) -> str:
    """What is wrong with a key below `hydra`; empty if it may be said."""
    group, key = (*path, "", "")[:2]
    word = path[2] if len(path) > 2 else ""
    if group not in ALLOWED:
        known = "options of hydra.sweeper and hydra.launcher"
        return f": only the command line may say this; a preset may set {known}"
    if key not in ALLOWED[group].split() or any(part.startswith("_") for part in path):
        known = "; ".join(f"hydra.{name}: {keys}" for name, keys in ALLOWED.items())
        return f": only the command line may say this; a preset may set of {known}"
    if re.search(r"\$\{|[\x00-\x1f]", str(value)):
        return ": give a plain value on one line, without ${…}"
    swept = tuple(word.lstrip("+~").split("."))
    written = is_place(swept) or (swept[0] in WRITERS and "{" in str(value))
    if key in ("params", "search_space") and ("hydra" in word or written):
        return ": only the command line may sweep over this"
    return ""


def _leaves(node: Any, path: tuple[str, ...] = ()) -> Iterator[tuple[tuple[str, ...], Any]]:
    """Every value with the keys that lead to it; an empty node is a value."""
    if isinstance(node, dict | list) and node:
        children = node.items() if isinstance(node, dict) else enumerate(node)
        for key, inner in children:
            yield from _leaves(inner, (*path, str(key)))
    elif path:
        yield path, node
