"""Any exception as the one line that a person reads, with the place and the nearest right word."""

import re
from collections.abc import Iterator
from pathlib import Path
from typing import Any

from hydra.errors import (
    ConfigCompositionException,
    HydraException,
    MissingConfigException,
    OverrideParseException,
    SearchPathException,
)
from omegaconf import DictConfig, OmegaConf
from omegaconf.errors import OmegaConfBaseException
from yaml import MarkedYAMLError

from regraft import dialects, faults, provenance
from regraft.errors import RegraftError, did_you_mean
from regraft.escaping import printable
from regraft.masking import in_text
from regraft.paths import conf_folder

FORM = (
    "not of the form key=value (no space at '=', no comma at the end); a value with spaces, "
    "commas, ~ or letters beyond a to z wants quotes of its own: \"key='a, b'\"; --help shows what "
    "there is"
)
# What Hydra says of the words of a command line (and of a defaults list), in ours.
SAYINGS = (
    (r"Ambiguous value for argument '(.+?)'\n", "{0}: several values make a sweep: add -m"),
    (r"Sweep parameters '(.+)' requires", "{0}: several values make a sweep: add -m"),
    (r"over Hydra's configuration .* '(.+)'", "{0}: Hydra's own settings take one value each"),
    (r"An item is already at '(.+?)'", "+{0}: there is such a key; leave the + out"),
    (r"The value of '(.+?)' is (.*) and not", "~{0}: its value is {1}; write ~{0} alone"),
    (r"force-add of config groups .* '(.+)'", "{0}: an option of a group is chosen without +"),
    (r"Duplicate _self_ defined in (\S+)", "{0}: _self_ stands twice in its defaults"),
    (r"must be a list of strings. Got: (.+)", "hydra.searchpath={0}: must be a list of folders"),
    (r"Could not delete '(\S+?=\S+?)'", "~{0}: this is not what is chosen"),
    (
        r"^(?:Multiple values for )?(\S+?)\.?(?: appears more than once in the final| To override)",
        "{0} is chosen already: {0}=<option> without + replaces it, and in a file's defaults "
        "'override /{0}: <option>'",
    ),
    (r"You must specify '(.+?)'", "{0}: no option is chosen; add {0}=<option>"),
    (r"primary config '(.+?)' must be", "--config-name={0}: holds no settings, key: value"),
)
# What OmegaConf says of a value that its own types do not take.
VALUES = (
    (r"could not be converted to Integer", "must be an integer"),
    (r"could not be converted to Float", "must be a number"),
    (r"is not a valid bool", "must be true or false"),
    (r"does not support deletion", "cannot be deleted; null or another value may do"),
    (r"is not Optional|not optional", "cannot be null"),
    (r"expected one of \[(.+)\]", "must be one of {0}"),
    (r"Cannot (?:assign|merge|convert) .*(?:List|list)(?:Config|\[\w+\])?$", "must be a list"),
    (r"Cannot (?:assign|merge|convert) .*", "must be settings, {{key: value}}"),
    (r"Cannot convert '?\w+'? to string", "must be text"),
)
# And of ${…}, which may lead nowhere.
REFERENCES = (
    (r"Interpolation key '(.+?)' not found", "refers to {0}, which there is not"),
    (r"Unsupported interpolation type (\S+)", "${{{0}:…}} is nothing that can be asked for"),
    (r"HydraConfig was not set", "is known in a job only"),
    (r"Recursive interpolation", "refers to itself"),
    (r"Environment variable '(.+?)' not found", "the environment variable {0} is not set"),
    (r"Missing mandatory value: (\S+)", "refers to {0}, which is not set"),
    (r"Error trying to access (\S+): node `(\S+)`", "refers to {0}, but {1} has no keys"),
    (r"\$?\{?.*(?:viable|mismatched|extraneous|token recognition)", "not of the form ${{key}}"),
)
# How Hydra warns of what our callback raises before the first job, instead of raising it.
OF_OUR_CALLBACK = r"Callback SweepProgress\.on_(?:run|multirun)_start raised"
ONLY_SEARCHED = "values are searched for in an interval by hydra/sweeper=optuna only: add it"
MOST_OF_A_PATH = 255  # longer words are not asked for on the disk
EVERYTHING = ("all", "any", "*")  # what some call all options of a group
# What comes with an extra: the option, or one that it is made of, and how pip calls the extra.
EXTRAS = {
    "hydra/launcher": ("launchers", {"submitit_local", "submitit_slurm"}),
    "hydra/sweeper": ("search", {"optuna"}),
}


def explain(error: BaseException | None) -> str:
    """What is wrong, where, and what to do, in one line."""
    error = behind(error)
    text = str(error)
    if isinstance(error, RegraftError):
        text += _set_by(error.key)
    elif isinstance(error, KeyboardInterrupt):
        text = text or "interrupted"
    elif "does not support sweep type" in text:
        text = ONLY_SEARCHED
    elif "No trials are completed yet" in text:
        text = "no job of the search has a result"
    elif 'Could not detect "srun"' in text:
        text = (
            "hydra/launcher=slurm: there is no Slurm here (no srun); run it on a login node, or "
            "with hydra/launcher=joblib"
        )
    elif type(error).__module__.startswith("submitit"):
        about = text if len(text) < 100 else f"{text[:100]} …"
        text = f"a job ended without a result; see .submitit in the sweep's folder ({about})"
    elif found := _composed(error):
        text = found
    elif error is not None and (of_machine := faults.in_words(error)):
        text = of_machine
    elif isinstance(error, OmegaConfBaseException):
        text = _reference(error)
    elif isinstance(error, RecursionError):
        text = "something refers to itself without end; debug=on shows where"
    elif not isinstance(error, HydraException):
        text = f"{type(error).__name__}: {text}; debug=on shows where"
    text = re.sub(r"([^\s:]{80})[^\s:]{220,}", r"\1…", text)
    return printable(in_text(text))


def behind(error: BaseException | None) -> Any:
    """What a resolver or our callback has raised; any other error is itself."""
    if isinstance(error, UserWarning) and re.match(OF_OUR_CALLBACK, str(error)):
        return error.__context__
    return told_by_a_resolver(error) or error


def told_by_a_resolver(error: BaseException | None) -> RegraftError | None:
    """What a resolver has to say, which OmegaConf puts into an error of its own."""
    while isinstance(error, OmegaConfBaseException):
        error = error.__cause__ or error.__context__
    return error if isinstance(error, RegraftError) else None


def _composed(error: BaseException | None) -> str | None:
    try:
        return _composing(error) if error else None
    except Exception:  # what Hydra and OmegaConf are in the middle of may be half made
        return None


def _set_by(key: str | None) -> str:
    try:
        place = provenance.origin(key) if key else ""
    except Exception:  # a hint must not hide what it is about
        return ""
    return f" ({place})" if place else ""


def _composing(error: BaseException) -> str | None:
    """What stopped Hydra before there was a config; None if it was something else."""
    if isinstance(error, ConfigCompositionException) and not str(error) and error.__cause__:
        return explain(error.__cause__)
    at = provenance.Stopped(error)
    if isinstance(error, OverrideParseException):
        return _no_setting(str(error.override).strip())
    if isinstance(error, SearchPathException):
        return re.sub(
            r"Additional config directory '(.*)' not", r"--config-dir=\1: not", str(error)
        )
    if isinstance(error, MissingConfigException):
        return _missing(error, at)
    if isinstance(error, ConfigCompositionException):
        return _wrong_key(error, at)
    if isinstance(error, UserWarning) and (gone := re.search(r"path=(.*) is not av", str(error))):
        return f"hydra.searchpath: {gone.group(1)}: no such folder"
    if at.reading:
        return _unreadable(error, at.reading)
    odd = at.folders and isinstance(error, TypeError | AttributeError)  # an option such as [1, 2]
    if odd or "Config group override must be a string" in str(error):
        got = f"{at.word}: " if at.word else ""
        return f"{got}an option of a group is a word; to switch one off choose none: augment=none"
    if at.word and "invalid literal for int()" in str(error):
        return f"{at.word}: this is a list, whose places are numbers: 0, 1, …"
    return None


def _no_setting(word: str) -> str:
    """A word that Hydra cannot read; a folder or a table that is there is data, as elsewhere."""
    there = bool(word) and len(word) < MOST_OF_A_PATH and Path(word).exists()
    if there and (words := dialects.data(word)):
        return f"{word}: settings are key=value; did you mean '{words}'?"
    return f"{word or 'an empty word'}: {FORM}"


def _unreadable(error: BaseException, file: Path) -> str:
    """What is wrong with a file that Hydra could not read."""
    place = provenance.shown(file)
    if isinstance(error, MarkedYAMLError) and error.problem_mark:
        problem = str(error.problem)
        if twice := re.search(r"found duplicate key (.*)", problem):
            problem = f"{twice.group(1)} stands there twice"
        elif "'\\t'" in problem:
            problem = "a tab at the beginning of a line; YAML wants spaces"
        elif begun := error.context_mark:
            problem += f" ({error.context}, which began in line {begun.line + 1})"
        return f"{place}:{error.problem_mark.line + 1}: {problem}"
    if isinstance(error, UnicodeDecodeError):
        return f"{place}: not a text in UTF-8; save it as UTF-8"
    if isinstance(error, OmegaConfBaseException):
        lines = file.read_text(encoding="utf-8").splitlines()
        bad = str(getattr(error, "value", "") or re.findall(r"'(.*)'|$", str(error))[0])
        line = next((f":{n}" for n, row in enumerate(lines, 1) if bad and bad in row), "")
        return f"{place}{line}: {_translated(str(error), REFERENCES) or str(error).splitlines()[0]}"
    if isinstance(error, RecursionError):
        return f"{place}: an anchor (&) holds itself"
    if isinstance(error, OSError):
        return f"{place}: {error.strerror or 'holds no settings, key: value'}"
    text = str(error).splitlines()[0] if str(error) else type(error).__name__
    if "efaults" in text:
        text = "defaults: must be a list of '- option' or '- group: option'"
    return f"{place}: {text}"


def _missing(error: MissingConfigException, at: provenance.Stopped) -> str:
    """A group's option, a file of a defaults list or the primary config that is not there."""
    if error.missing_cfg_file is None:
        return str(error)
    asked = str(error.missing_cfg_file)
    group, option = _choice(asked, at.folders)
    if "Cannot find primary config" in str(error):
        there = _options(at.folders, "")
        return f"--config-name={asked}: no such file{did_you_mean(asked, there)}"
    extra, comes_with_it = EXTRAS.get(group, ("", set()))
    if option in comes_with_it:
        return f"{group}={option} is not installed: pip install 'regraft[{extra}]'"
    options = sorted(error.options or _options(at.folders, group))
    place = at.chooses(group, option)
    hint = _chosen_elsewhere(group, option) or did_you_mean(option, options)
    listed = f" (there are {', '.join(options)})" if options else ""
    where = f"{place}: " if place else ""
    return f"{where}{group or 'config'}={option}: no such option{hint}{listed}"


def _choice(asked: str, folders: list[Path]) -> tuple[str, str]:
    """The group and the option of a path such as head/mlp; the option may be a path of a user's."""
    group, _, option = asked.partition("/")
    if group != "hydra" and any((folder / group).is_dir() for folder in folders):
        return group, option
    group, _, option = asked.rpartition("/")
    return group, option


def _chosen_elsewhere(group: str, option: str) -> str:
    """What somebody meant who chooses as in other tools: a folder for data, a name of timm's."""
    if option in EVERYTHING:
        return f"; a sweep over all of them is -m '{group}=glob(*)'"
    ours = {"data": dialects.data, "backbone": dialects.backbone}.get(group)
    words = ours(option) if ours else None
    return f"; did you mean '{words}'?" if words else ""


def _options(folders: list[Path], group: str) -> list[str]:
    return [path.stem for folder in folders for path in (folder / group).glob("*.yaml")]


def _wrong_key(error: ConfigCompositionException, at: provenance.Stopped) -> str:
    text, cause = str(error), str(error.__cause__ or error.__context__ or "")
    place = ""
    if inside := re.match(r"In '([^']+)': ", text):
        file, text = provenance.find(at.folders, inside.group(1)), text[inside.end() :]
        about = re.search(r"full_key: (\S+)|override '([^'@]+)", text)
        end = next(filter(None, about.groups()), "") if about else ""
        place = f"{at.place(key=end, of=file)}: " if file else ""
    if said := _translated(text, SAYINGS) or _translated(cause, SAYINGS):
        return place + said + _unless_ours(said, at.folders)
    gone = re.search(r"^Could not (?:override|delete)[^']*'([^'=]*)", text)
    if gone and not gone.group(1):
        return f"{at.word or '='}: {FORM}"
    if gone and "@" in gone.group(1):
        group, _, package = gone.group(1).partition("@")
        if place:  # nobody wrote the @: Hydra did, as the file's place is not the top
            return (
                f"{place}override /{group}: not from here; a strategy, preset or sweep begins "
                "with '# @package _global_', on its first line"
            )
        return f"{gone.group(1)}: the place of {group} is {group}; leave @{package} out"
    if gone:
        hint = _nearest(gone.group(1), at.folders, "" if place else at.word)
        return f"{place}{gone.group(1)}: no such key{hint}"
    asked = text.removeprefix("Error merging override ").splitlines()[0] if text else ""
    if group := re.match(r"Override (\S+) looks like a config group", asked):
        groups = {path.name for folder in at.folders for path in folder.glob("[!_]*/")}
        hint = did_you_mean(provenance.key_of(group.group(1)), groups)
        return f"{group.group(1)}: no such group{hint}"
    problem = cause or text
    if key := re.search(r"Key '(.+?)' (?:is )?not in ", problem):
        named = re.search(r"full_key: (\S+)", problem)
        full = named.group(1) if named else key.group(1)
        return f"{place}{full}: no such key{_nearest(full, at.folders)}"
    if cause and not place and (said := _translated(cause, REFERENCES)):
        return f"{asked}: {said}"
    said = _translated(problem, VALUES) or problem.splitlines()[0]
    about = re.search(r"full_key: (\S+)", problem)
    return f"{place}{about.group(1) if place and about else asked}: {said}"


def _translated(text: str, table: tuple[tuple[str, str], ...]) -> str | None:
    for pattern, ours in table:
        if found := re.search(pattern, text, re.MULTILINE):
            return ours.format(*found.groups())
    return None


def _reference(error: OmegaConfBaseException) -> str:
    """A value that refers to another one and cannot be resolved."""
    text = str(error)
    if "RangeSweep" in text:
        return "a range(…) of a sweep does not go with other values: key=range(0,3) or key=0,1,2"
    key = getattr(error, "full_key", None) or provenance.Stopped(error).refers
    said = _translated(text, REFERENCES) or _translated(text, VALUES) or text.splitlines()[0]
    gone = re.search(r"Interpolation key '(.+?)' not found", text)
    hint = _nearest(gone.group(1), []) if gone else ""
    return f"{f'{key}: ' if key else ''}{said}{hint}{_set_by(key)}"


def _unless_ours(said: str, folders: list[Path]) -> str:
    """What another tool's key means here, where several values of it are complained of."""
    word, _, what = said.partition(": ")
    foreign = what.startswith("several") and provenance.key_of(word) not in _owners(folders)
    return dialects.hint(word) if foreign else ""


def as_setting(flag: str, value: str) -> str:
    """The setting that somebody means who types a flag as in other programs, as an error's end."""
    key = flag.lstrip("-").replace("-", "_")
    if key in _owners([]):
        return f"; did you mean '{key}={value or '<value>'}'?"
    return _nearest(key, [], f"{key}={value}")


def _nearest(key: str, folders: list[Path], word: str | None = "") -> str:
    """The key that is spelt alike, has the same last word, or belongs to another option; first
    what the whole word says in another tool."""
    owners = _owners(folders)
    if key in owners:
        some, more = owners[key][:4], len(owners[key]) - 4
        listed = " or ".join(some) + (f" or {more} more" if more > 0 else "")
        return f" in what is chosen; it belongs to {listed}"
    if said := dialects.hint(word):
        return said
    last = key.rpartition(".")[2]
    same = [known for known in owners if known.rpartition(".")[2] == last]
    usual = _usual()
    there = [known for known in same if not usual.isdisjoint(owners[known])]
    hint = did_you_mean(key, owners)
    if any(f"'{known}'" in hint for known in {*same} - {*there}) and there:
        hint = ""  # a key of an option that few choose, and another has the same word
    return hint or (f"; did you mean '{(there or same)[0]}'?" if same else "")


def _owners(folders: list[Path]) -> dict[str, list[str]]:
    """Every key that some file sets, and the options that have it."""
    owners: dict[str, list[str]] = {}
    for folder in dict.fromkeys([conf_folder(), *folders]):
        for path in sorted(folder.rglob("*.yaml")):
            for known in _keys_in(path, folder):
                owners.setdefault(known, []).append(f"{path.parent.name}={path.stem}")
    return owners


def _usual() -> set[str]:
    """The files that a job is made of by default, as group=option."""
    defaults = OmegaConf.load(conf_folder() / "config.yaml").defaults
    chosen = (entry for entry in defaults if isinstance(entry, DictConfig))
    named = {f"{group!s}={name}" for entry in chosen for group, name in entry.items()}
    return named | {f"{conf_folder().name}=config"}


def _keys_in(path: Path, folder: Path) -> Iterator[str]:
    """The dotted keys that one option's file sets, and its group."""
    group = path.parent.relative_to(folder).as_posix()
    try:
        text = path.read_text(encoding="utf-8")
        node = OmegaConf.create(text)
    except Exception:  # a broken file beside the one that is asked for
        return
    if group.startswith("hydra") or not isinstance(node, DictConfig):
        return
    at_top = group == "." or text.startswith("# @package _global_")
    if group != ".":
        yield group
    yield from (name for name in _paths(node, "" if at_top else f"{group}."))


def _paths(node: DictConfig, prefix: str) -> Iterator[str]:
    for key in map(str, node):
        if key not in ("defaults", "hydra"):
            yield f"{prefix}{key}"
            child = node._get_node(key)
            if isinstance(child, DictConfig) and not child._is_none():
                yield from _paths(child, f"{prefix}{key}.")
