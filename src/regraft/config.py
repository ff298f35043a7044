"""From YAML to objects: the one place that instantiates, and that checks names and types first.

The signature of a `_target_` is its schema. Its keyword-only parameters are what YAML may set;
what the program finds out by itself is passed by position.
"""

import inspect
import typing
from collections.abc import Callable, Iterator, Sequence
from functools import lru_cache, partial
from typing import Annotated, Any, Literal

from annotated_types import Ge, Gt
from hydra.errors import InstantiationException
from hydra.utils import instantiate as hydra_instantiate
from omegaconf import DictConfig, OmegaConf
from omegaconf.errors import OmegaConfBaseException
from pydantic import ConfigDict, PydanticUserError, TypeAdapter, ValidationError

from regraft import dialects, monitors, provenance, trust
from regraft.complaints import explain, told_by_a_resolver
from regraft.errors import RegraftError, did_you_mean

# The questions that every job has an answer to.
GROUPS = (
    "data",
    "augment",
    "balance",
    "backbone",
    "freeze",
    "head",
    "features",
    "optimizer",
    "scheduler",
    "trainer",
)
NODES = ("callbacks", "calibration", "figures", "loader", "logger")  # and what each has besides
# What the keys hold that belong to no target.
PLAIN: dict[str, Any] = {
    "seed": int,
    "tags": list[str],
    "output_dir": str,
    "min_steps": Annotated[int, Ge(0)],
    "resume": Literal["auto"] | None,
    "compile": Literal["default", "reduce-overhead", "max-autotune"] | None,
}
# What the trainer may be told, where Lightning's annotations take more than it can train with.
Count = Annotated[int, Ge(1)]
Limit = Annotated[float, Gt(0)] | None  # of batches: a fraction or, as a whole number, so many
TRAINER: dict[str, Any] = {
    "max_epochs": Count,
    "max_steps": Literal[-1] | Count,
    "check_val_every_n_epoch": Count,
    "val_check_interval": Limit,
    "accumulate_grad_batches": Count,
    "gradient_clip_val": Annotated[float, Ge(0)] | None,
    "limit_train_batches": Limit,
    "limit_val_batches": Annotated[float, Ge(0)] | None,
    "limit_predict_batches": Limit,
    "log_every_n_steps": Annotated[int, Ge(0)] | None,
    "num_sanity_val_steps": Annotated[int, Ge(-1)] | None,
}
# Of Lightning's ModelCheckpoint: other commands look for best.ckpt, which any validation may bring.
CHECKPOINT: dict[str, Any] = {
    "filename": Literal["best"],
    "save_last": Literal[False] | None,  # which callbacks.last keeps
    "save_weights_only": Literal[False],  # which it holds anyway; Lightning's leaves out averages
    "every_n_epochs": Literal[1] | None,
    "every_n_train_steps": Literal[0] | None,
    "train_time_interval": None,
}
# What every job asks its trainer for, and what regraft itself tells it.
ASKED = (
    *("accelerator", "devices", "max_epochs", "check_val_every_n_epoch"),
    "accumulate_grad_batches",
)
TOLD = (
    *("barebones", "callbacks", "default_root_dir", "enable_checkpointing", "enable_model_summary"),
    *("enable_progress_bar", "logger", "plugins", "use_distributed_sampler"),
)
# And the nodes that are read besides, or may be.
READ = (*GROUPS, *NODES, *PLAIN, "strategy", "quadrant", "pretrain")
OVERLAYS = ("preset", "sweep", "debug")  # groups whose files set other groups' keys
OURS = {  # pydantic's words
    "a valid integer": "an integer",
    "a valid string": "text",
    "a valid boolean": "true or false",
    "a valid ": "a ",
}


def check(cfg: DictConfig) -> None:
    """Check every name, type and missing value of a job before any work.

    Raises RegraftError naming the key, what is wrong with it and the nearest right one.
    """
    for problem in problems(cfg):
        raise problem


def problems(cfg: DictConfig) -> Iterator[RegraftError]:
    """All that is wrong with a job's config; of a missing value nothing else can be said."""
    if missing := sorted(OmegaConf.missing_keys(cfg)):
        key = missing[0]
        more = f" (and {', '.join(missing[1:])})" if missing[1:] else ""
        yield RegraftError(f"{key} is not set{more}; add {key}=<value>", key=key)
        return
    text = OmegaConf.to_yaml(cfg)
    for key in map(str, cfg):
        if key not in READ and f"${{{key}" not in text:
            yield RegraftError(
                f"{key}: no such key, nothing reads it{_why_there(cfg, key)}", key=key
            )
    plain = resolved(cfg)
    for key, node in plain.items():
        try:
            trust.check({key: node})
        except RegraftError as error:
            yield error
    for key, node in _targets(plain):
        yield from _check_node(key, node)
    for name in NODES:
        if name not in cfg:
            yield RegraftError(_no_option(name), key=name)
        elif name != "logger" and not isinstance(cfg.get(name), DictConfig):
            yield RegraftError(f"{name}={plain[name]}: must be settings, {{key: value}}", key=name)
    for group in GROUPS:
        if not isinstance(node := cfg.get(group), DictConfig) or "_target_" not in node:
            yield RegraftError(_no_option(group), key=group)
    for key, expected in PLAIN.items():
        if key not in plain:
            yield _not_set(key)
        else:
            yield from _check_type(key, plain[key], expected)
    if isinstance(trainer := plain.get("trainer"), dict):
        yield from _check_trainer(trainer)
    if isinstance(callbacks := plain.get("callbacks"), dict):
        yield from _check_places(callbacks, plain)
        yield from monitors.problems(callbacks)
    if isinstance(seed := plain.get("seed"), int) and not 0 <= seed < 2**32:
        yield RegraftError(f"seed={seed}: a seed lies between 0 and 4294967295", key="seed")


def _check_trainer(node: dict[str, Any]) -> Iterator[RegraftError]:
    """What a trainer lacks, and what is not for a config to say."""
    for name in ASKED:
        if name not in node:
            yield _not_set(f"trainer.{name}")
    for name in sorted(node.keys() & {*TOLD}):
        where = f"trainer.{name}"
        yield RegraftError(f"{where} is set by regraft itself; leave it out", key=where)
    for least in ("epochs", "steps"):
        fewest, most = node.get(f"min_{least}"), node.get(f"max_{least}")
        if isinstance(fewest, int) and isinstance(most, int) and 0 <= most < fewest:
            where = f"trainer.min_{least}"
            yield RegraftError(
                f"{where}={fewest}: more than trainer.max_{least}={most}, where the training ends",
                key=where,
            )


def _check_places(callbacks: dict[str, Any], config: dict[str, Any]) -> Iterator[RegraftError]:
    """What is wrong with where checkpoints are kept: other commands look for them in one place."""
    for name, node in callbacks.items():
        if not isinstance(node, dict) or not str(node.get("_target_")).endswith(".ModelCheckpoint"):
            continue
        if node.get("dirpath") != f"{config.get('output_dir')}/checkpoints":
            where = f"callbacks.{name}.dirpath"
            yield RegraftError(
                f"{where}={node.get('dirpath')}: must be ${{output_dir}}/checkpoints, where other "
                "commands look; hydra.run.dir moves the run",
                key=where,
            )


def _not_set(key: str) -> RegraftError:
    return RegraftError(f"{key} is not set; add {key}=<value>", key=key)


def _why_there(cfg: DictConfig, key: str) -> str:
    if key in OVERLAYS:
        return "; a file of this group begins with '# @package _global_', on its first line"
    leaf, value = next(iter(_leaves(key, resolved(cfg)[key])))
    return dialects.hint(f"{leaf}={value}") or did_you_mean(key, READ)


def _leaves(key: str, node: Any) -> Iterator[tuple[str, Any]]:
    """Every value that is no mapping with its dotted key; an empty mapping is a value."""
    if isinstance(node, dict) and node:
        for name, inner in node.items():
            yield from _leaves(f"{key}.{name}", inner)
    else:
        yield key, node


def _no_option(group: str) -> str:
    """What is wrong where a group has no `_target_`."""
    if file := provenance.chosen(group):
        return f"{group}: must be settings with a _target_, as {provenance.shown(file)} should give"
    return f"{group}: no option is chosen; add {group}=<option>"


def resolved(cfg: DictConfig) -> dict[str, Any]:
    """The config as plain data: what is logged, stored and put into checkpoints."""
    try:
        plain = OmegaConf.to_container(cfg, resolve=True)
    except OmegaConfBaseException as error:
        if told := told_by_a_resolver(error):
            raise told from error
        raise RegraftError(explain(error)) from error
    assert isinstance(plain, dict)
    return typing.cast(dict[str, Any], plain)


def build(node: DictConfig, *facts: Any, **parts: Any) -> Any:
    """Call the node's `_target_`: facts by position, YAML keys and other `parts` by name."""
    plain = resolved(node)  # once: what was checked is what is built
    target = str(plain["_target_"])
    trust.check_parts(str(node._get_full_key(None) or target), plain)
    try:
        return hydra_instantiate(plain, *facts, _convert_="all", **parts)
    except InstantiationException as error:
        if isinstance(error.__cause__, RegraftError):
            raise error.__cause__ from error
        raise RegraftError(f"{target}: {error.__cause__ or error}") from error


@lru_cache(maxsize=4)
def _built(text: str, seed: int) -> Any:
    import torch  # what has random weights has loaded it

    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(seed)
        return build(DictConfig(OmegaConf.create(text)))


def build_once(node: DictConfig, seed: int) -> Any:
    """What `build` gives with torch's random numbers from this seed on; it is not to be changed.

    It is remembered for the next jobs of this process: for the same words and seed it is the same
    object, and the numbers of whoever asks are left as they are.
    """
    return _built(OmegaConf.to_yaml(node, resolve=True), seed)


def factory(node: DictConfig, *facts: Any) -> Callable[..., Any]:
    """The node's `_target_` with its YAML keys set, to be called with the other facts later."""
    return partial(build, node, *facts)


def _targets(node: Any, key: str = "") -> Iterator[tuple[str, dict[str, Any]]]:
    if isinstance(node, dict):
        if "_target_" in node:
            yield key, node
        for name, child in node.items():
            yield from _targets(child, f"{key}.{name}" if key else str(name))
    elif isinstance(node, list):
        for index, child in enumerate(node):
            yield from _targets(child, f"{key}.{index}")


def annotation(key: str, node: dict[str, Any], name: str) -> Any:
    """What the signature of a node's `_target_` says that a name takes; Any if it does not."""
    try:
        return trust.hints(trust.load(key, node["_target_"])).get(name, Any)
    except (KeyError, RegraftError):
        return Any


def _check_node(key: str, node: dict[str, Any]) -> Iterator[RegraftError]:
    target = node["_target_"]
    try:
        function = trust.load(key, target)
    except RegraftError:  # which trust.check has told already
        return
    parameters = inspect.signature(function).parameters
    ours = target.startswith("regraft.")
    choices = {name: p for name, p in parameters.items() if p.kind is p.KEYWORD_ONLY or not ours}
    given = {name: value for name, value in node.items() if not name.startswith("_")}
    takes_any = any(p.kind is p.VAR_KEYWORD for p in parameters.values())
    hints = trust.hints(function) | (TRAINER if key == "trainer" else {})
    if target.endswith(".ModelCheckpoint"):
        hints |= CHECKPOINT
    if key == "logger" and target.endswith(".WandbLogger"):
        yield RegraftError(
            f"{key}._target_={target}: would put all jobs of a sweep into one W&B run that nobody "
            "ends; use logger=wandb, of which each job has its own",
            key=f"{key}._target_",
        )
    for name, value in given.items():
        if name in choices:
            yield from _check_type(f"{key}.{name}", value, hints.get(name, Any))
        elif not takes_any:
            where = f"{key}.{name}"
            hint = did_you_mean(name, choices) or dialects.hint(f"{where}={value}")
            hint = hint or f"; it takes {', '.join(choices) or 'nothing'}"
            yield RegraftError(f"{where}: {target} has no such option{hint}", key=where)
    needed = [n for n, p in choices.items() if p.default is p.empty and p.kind is p.KEYWORD_ONLY]
    for name in needed:
        if name not in given:
            yield _not_set(f"{key}.{name}")


def _check_type(key: str, value: Any, expected: Any) -> Iterator[RegraftError]:
    if isinstance(value, dict) and "_target_" in value:
        return  # an object to be built, checked by itself
    try:
        adapter = TypeAdapter(expected, config=ConfigDict(arbitrary_types_allowed=True))
    except PydanticUserError:  # the annotation carries its own config
        return
    try:
        adapter.validate_python(value, strict=True)
    except ValidationError as error:
        allowed = list(dict.fromkeys(map(str, _literals(expected))))
        hint = did_you_mean(str(value), allowed)
        yield RegraftError(f"{key}={value}: {_in_words(error, allowed)}{hint}", key=key)


def fits(value: Any, expected: Any) -> bool:
    """Whether an annotation takes a value."""
    return not [*_check_type("", value, expected)]


def plain_values(expected: Any) -> list[Any]:
    """Some of the simplest values that an annotation may take, those that it lists first."""
    listed = [*_literals(expected)]
    simple = ["x", 0, 1, 2, 0.5, False, None, [], {}, listed[:1], ["x"], [0], [0.5]]
    return [value for value in [*listed, *simple] if fits(value, expected)]


def _literals(expected: Any) -> Iterator[Any]:
    """The values that an annotation lists, at any depth."""
    if typing.get_origin(expected) is Literal:
        yield from typing.get_args(expected)
    else:
        for inner in typing.get_args(expected):
            yield from _literals(inner)


def _in_words(error: ValidationError, allowed: Sequence[str]) -> str:
    """What a value must be, instead of what each part of its type has to say."""
    words = []
    for problem in error.errors():
        text = problem["msg"].replace("Input should be", "must be")
        if problem["type"] == "literal_error":
            text = f"must be {'one of ' * (len(allowed) > 1)}{', '.join(allowed)}"
        for theirs, ours in OURS.items():
            text = text.replace(theirs, ours)
        words.append(text)
    return " or ".join(dict.fromkeys(words)).replace(" or must be ", " or ")
