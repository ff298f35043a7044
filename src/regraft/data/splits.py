"""Which split a name means: the name of a folder, of a split on the hub, or in a table's column."""

import re
import unicodedata
from collections.abc import Iterable, Mapping
from typing import NamedTuple

SPLITS = ("train", "val", "test")
# The splits that a word may mean, the likeliest first; a second one where the first is taken.
_TRAIN, _VAL, _TEST = ("train",), ("val",), ("test",)
_WORDS = (
    dict.fromkeys(("train", "training", "trn", "trainval", "trainvalid"), _TRAIN)
    | dict.fromkeys(("val", "vali", "valid", "validate", "validation", "validating"), _VAL)
    | dict.fromkeys(("dev", "devel", "development", "crossval", "crossvalidation"), _VAL)
    | dict.fromkeys(("eval", "evaluate", "evaluation", "publictest"), ("val", "test"))
    | dict.fromkeys(("test", "testing", "tst", "privatetest"), _TEST)
    | dict.fromkeys(("holdout", "heldout"), ("test", "val"))
)
# What stands beside it and means nothing more: train_images, seg_test, "Test Data v2".
_BESIDE = (
    "sets?|splits?|data|subset|part|partition|images?|imgs?|pictures?|pics?|photos?|samples?|"
    "examples?|files?|folder|dir|seg|crops?|cropped|jpe?g|png|x|v|label+ed|final|my|the"
)
_EXACT = re.compile(rf"(?:{_BESIDE})*?({'|'.join(_WORDS)})(?:{_BESIDE})*")
_FILLER = re.compile(rf"(?:{_BESIDE})+")
_CAMEL = re.compile(r"(?<=[a-z])(?=[A-Z])")


class Named(NamedTuple):
    """What a name says of a split: which one it may mean, and what else it says."""

    splits: tuple[str, ...]  # the likeliest first
    rest: tuple[str, ...]  # () if it is the name of a split and nothing else

    @property
    def split(self) -> str:
        return self.splits[0]


def named(name: str) -> Named | None:
    """What a name says of a split, in any case and with any separators; None if nothing.

    >>> named("Training_Set").splits, named("segTest-2").splits, named("hold out").splits
    (('train',), ('test',), ('test', 'val'))
    >>> named("cats_train"), named("contest")
    (Named(splits=('train',), rest=('cats',)), None)
    """
    words = _words(name)
    if whole := _EXACT.fullmatch("".join(words)):
        return Named(_WORDS[whole[1]], ())
    parts = {word: match[1] for word in words if (match := _EXACT.fullmatch(word))}
    if len({_WORDS[part] for part in parts.values()}) != 1:
        return None
    rest = (word for word in words if word not in parts and not _FILLER.fullmatch(word))
    return Named(_WORDS[next(iter(parts.values()))], tuple(rest))


def is_filler(name: str) -> bool:
    """Whether a folder of this name only wraps what is in it.

    >>> is_filler("images"), is_filler("cats")
    (True, False)
    """
    return _FILLER.fullmatch("".join(_words(name))) is not None


def assigned(names: Iterable[str]) -> dict[str, str]:
    """The split of each name that means one: `eval` is test where there is another val.

    >>> assigned(["Train", "dev", "eval", "extra"])
    {'Train': 'train', 'dev': 'val', 'eval': 'test'}
    """
    meant = {name: found.splits for name in names if (found := named(name)) and not found.rest}
    splits = {name: choices[0] for name, choices in meant.items() if len(choices) == 1}
    for name, choices in meant.items():
        if name not in splits:
            free = [choice for choice in choices if choice not in splits.values()]
            splits[name] = free[0] if free else choices[0]
    return {name: splits[name] for name in meant}


def by_split(names: Iterable[str]) -> dict[str, list[str]]:
    """The names of each split; one that says nothing more outdoes those that do.

    >>> by_split(["train", "test", "test_images", "val_1", "val_2"])
    {'train': ['train'], 'test': ['test'], 'val': ['val_1', 'val_2']}
    """
    found: dict[str, list[str]] = {}
    for name, split in assigned(names).items():
        found.setdefault(split, []).append(name)
    return {split: _plain(own) or own for split, own in found.items()}


def in_words(names: Mapping[str, str]) -> str:
    """What serves as which split.

    >>> in_words({"train": "Training", "test": "Testing"})
    "train is 'Training', test is 'Testing'"
    """
    return ", ".join(f"{split} is '{names[split]}'" for split in SPLITS if split in names)


def _plain(names: list[str]) -> list[str]:
    return [name for name in names if "".join(_words(name)) in _WORDS]


def _words(name: str) -> list[str]:
    """The words of a name, in small letters; digits and signs only part them."""
    text = _CAMEL.sub(" ", unicodedata.normalize("NFKC", name))
    return re.findall(r"[^\W\d_]+", text.casefold())
