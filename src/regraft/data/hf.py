"""Image sets of the Hugging Face hub, or in its formats, as the `datasets` library reads them."""

import logging
import re
from collections import Counter
from collections.abc import Iterable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import replace
from functools import lru_cache
from pathlib import Path
from typing import Annotated, Any, NamedTuple

import numpy as np
from annotated_types import Len
from huggingface_hub.utils import tqdm

from regraft.data import splits, subset
from regraft.data.formats import EXTENSIONS
from regraft.data.labels import (
    MergeLabels,
    OnMissing,
    as_text,
    merged,
    merged_in_words,
    settled,
    whole_numbers,
)
from regraft.data.names import natural
from regraft.data.sources import (
    Fold,
    Folds,
    Fraction,
    PerClass,
    Seed,
    Share,
    Source,
    Split,
    divided,
    said,
)
from regraft.data.white import Rule
from regraft.errors import RegraftError, did_you_mean
from regraft.fingerprint import key
from regraft.network import answers
from regraft.paths import cache_folder, make_whole

REACH_S = 5.0  # until a hub that does not answer is taken for no network
_log = logging.getLogger(__name__)


class _Asked(NamedTuple):
    path: str
    name: str | None
    revision: str | None
    image: str
    label: str
    on_missing: OnMissing
    merge_labels: MergeLabels


def hub_images(
    seed: int,
    *,
    path: Annotated[str, Len(1)],
    name: str | None,
    revision: str | None,
    image_column: str,
    label_column: str,
    on_missing: OnMissing = "error",
    merge_labels: MergeLabels = None,
    white: Rule = "auto",
    val_fraction: Fraction,
    test_fraction: Fraction,
    judge_by: subset.JudgeBy = "test",
    split_seed: Seed,
    fold: Fold,
    folds: Folds,
    per_class: PerClass,
    fraction: Share,
) -> Source:
    """The images of a hub repository or local folder `path`, in its configuration `name`.

    The library keeps images inside tables. They are written out once, still encoded, as files
    under `<cache>/datasets/hf`: whatever reads image files then reads these, and memory does not
    grow with the set. What is missing of val and test is split off train, by class. Images without
    a label are left out if `on_missing` is "skip"; labels that look alike are one class if
    `merge_labels`, several if it is False. Raises RegraftError for what cannot be had, and naming
    the nearest column or configuration.
    """
    asked = _Asked(path, name, revision, image_column, label_column, on_missing, merge_labels)
    division = subset.Division(
        val_fraction=val_fraction,
        test_fraction=test_fraction,
        judge_by=judge_by,
        split_seed=split_seed,
        fold=fold,
        folds=folds,
    )
    whole = _hub_images(asked, division)
    whole = whole.scaled(white)
    return whole.few(seed, per_class=per_class, fraction=fraction)


@lru_cache(maxsize=2)
def _hub_images(asked: _Asked, division: subset.Division) -> Source:
    loaded = _loaded(asked)
    names = _named(loaded, asked.path)
    tables = {split: loaded[name] for split, name in names.items()}
    for table in tables.values():
        _check_columns(table, asked)
    words = {split: _labels(table, asked, split) for split, table in tables.items()}
    if hidden := [split for split in ("val", "test") if split in words and not any(words[split])]:
        _log.warning("%s: %s has no labels and is left out", asked.path, " and ".join(hidden))
    words = {split: found for split, found in words.items() if split not in hidden}
    missing = []
    for split in words:
        tables[split], words[split], lost = _without_missing(
            tables[split], words[split], asked, split
        )
        missing += lost
    counts = Counter(word for own in words.values() for word in own)
    named = settled(counts, asked.merge_labels, f"data.path={asked.path}, labels")
    words = {split: [named[word] for word in own] for split, own in words.items()}
    classes = _classes(words["train"], tables["train"].features[asked.label], asked)
    found = {}
    for split, own in words.items():
        labels = _indices(own, classes, f"data.path={asked.path}, {split}")
        found[split] = Split(*_files(tables[split], asked, split, labels))
    origin = splits.in_words({split: names[split] for split in found})
    source = divided(
        (Path(asked.path).name, classes), found, division, where=asked.path, named=origin
    )
    others = merged(named)
    remarks = said(_log, asked.path, *missing, *merged_in_words(others))
    return replace(source, merged=others, remarks=remarks)


def _loaded(asked: _Asked) -> Any:
    """The library's dictionary of tables, from its own cache where there is no network."""
    try:
        import datasets
    except ImportError as error:
        raise RegraftError("data=hf needs a library: pip install 'regraft[hf]'") from error

    local = Path(asked.path).expanduser()
    place = str(local) if local.is_dir() else asked.path
    if local.is_file():
        raise RegraftError(f"data.path={asked.path} is a file; give a folder, or owner/name")
    if place.startswith(("/", ".", "~")) and not local.is_dir():
        raise RegraftError(f"data.path={asked.path}: there is no such folder")
    offline = datasets.config.HF_HUB_OFFLINE
    reached = local.is_dir() or (
        not offline and answers(datasets.config.HF_ENDPOINT, within=REACH_S)
    )
    datasets.config.HF_HUB_OFFLINE = offline or not reached  # or it would try for minutes
    try:
        with _complaining(asked.path, reached, datasets.config.HF_ENDPOINT):
            if asked.name is not None and reached:  # the library's cache does not tell
                _check_name(asked, datasets.get_dataset_config_names(place))
            return datasets.load_dataset(place, asked.name, revision=asked.revision)
    finally:
        datasets.config.HF_HUB_OFFLINE = offline


@contextmanager
def _complaining(path: str, reached: bool, endpoint: str) -> Iterator[None]:
    try:
        yield
    except RegraftError:
        raise
    except Exception as error:  # the library passes on those of a dozen others
        if not reached:
            raise RegraftError(
                f"data.path={path}: it is neither on this machine nor is {endpoint} reachable; "
                "connect once (or set HF_HOME to a filled cache, HF_ENDPOINT to a mirror), or give "
                "a local folder"
            ) from error
        reason = re.sub(r"\s+", " ", str(error)).strip() or type(error).__name__
        if configs := re.search(r"pick one among the available configs: \[(.*?)\]", reason):
            reason = f"it has several configurations; add data.name=, one of {configs.group(1)}"
        elif type(error).__name__ == "DatasetNotFoundError":
            reason = f"{reason.rstrip('.')}; a private or gated one wants `hf auth login`"
        raise RegraftError(f"data.path={path}: {reason}") from error


def _check_name(asked: _Asked, configs: Sequence[str]) -> None:
    if asked.name not in configs:
        hint = did_you_mean(asked.name or "", configs) or f"; there are {', '.join(configs)}"
        raise RegraftError(f"data.name={asked.name}: {asked.path} has no such configuration{hint}")


def _named(tables: Any, path: str) -> dict[str, str]:
    """What the set calls each of our splits."""
    found = splits.by_split(name for name, table in tables.items() if len(table))
    for split, names in found.items():
        if len(names) > 1:
            both = " and ".join(map(repr, names))
            raise RegraftError(f"data.path={path}: {both} both mean {split}; a copy may keep one")
    if "train" not in found:
        raise RegraftError(f"data.path={path} has no split train, only {', '.join(tables)}")
    chosen = {split: name for split, [name] in found.items()}
    if others := [name for name in tables if name not in chosen.values()]:
        _log.warning("%s: ignored beside train: %s", path, ", ".join(others))
    return chosen


def _check_columns(table: Any, asked: _Asked) -> None:
    import datasets

    features = table.features
    for role in ("image", "label"):
        column = getattr(asked, role)
        if column not in features:
            hint = did_you_mean(column, features) or f"; set data.{role}_column"
            there = ", ".join(map(repr, features))
            raise RegraftError(
                f"data.path={asked.path} has no column '{column}', only {there}{hint}"
            )
    if not isinstance(features[asked.image], datasets.Image):
        pictures = [name for name, kind in features.items() if isinstance(kind, datasets.Image)]
        hint = f"; set data.image_column={pictures[0]}" if pictures else ""
        raise RegraftError(
            f"data.path={asked.path}: the column '{asked.image}' does not hold images{hint}"
        )
    kind = features[asked.label]
    if not re.match("string|large_string|u?int|float|bool", getattr(kind, "dtype", None) or ""):
        raise RegraftError(_no_class(asked, f"{kind}"))


def _no_class(asked: _Asked, what: str) -> str:
    return (
        f"data.path={asked.path}: the column '{asked.label}' holds {what}, not one class each; "
        "set data.label_column"
    )


def _labels(table: Any, asked: _Asked, split: str) -> list[str]:
    """The label of each image in words, "" where nobody published it.

    Raises RegraftError for numbers that are not whole.
    """
    values, kind = list(table[asked.label]), table.features[asked.label]
    if names := getattr(kind, "names", None):
        return [names[value] if value not in (None, -1) else "" for value in values]
    words = whole_numbers([as_text(value) for value in values])
    if re.match("float", kind.dtype) and (odd := [word for word in words if "." in word]):
        raise RegraftError(_no_class(asked, f"numbers such as {odd[0]}"))
    return words


def _without_missing(
    table: Any, words: Sequence[str], asked: _Asked, split: str
) -> tuple[Any, list[str], list[str]]:
    """The images that have a label, their labels, and how many have none.

    Raises RegraftError for one that has none, unless they are to be left out.
    """
    empty = [index for index, word in enumerate(words) if not word]
    if empty and asked.on_missing == "error":
        raise RegraftError(
            f"data.path={asked.path}, {split}: image {empty[0]} has no label, as {len(empty):,} of "
            f"{len(words):,}; leave them out with data.on_missing=skip"
        )
    if not empty:
        return table, list(words), []
    kept = [index for index, word in enumerate(words) if word]
    counted = f"{split}: {len(empty):,} of {len(words):,} images have no label: left out"
    return table.select(kept), [words[index] for index in kept], [counted]


def _classes(words: Sequence[str], kind: Any, asked: _Asked) -> tuple[str, ...]:
    """Those that train has, in the set's own order, or else in natural order."""
    present = {*words}
    order = getattr(kind, "names", None) or sorted(present, key=natural)
    if len(present) < 2:
        raise RegraftError(f"data.path={asked.path} trains one class only; give at least two")
    return tuple(name for name in order if name in present)


def _indices(words: Sequence[str], classes: Sequence[str], where: str) -> np.ndarray:
    index = {name: number for number, name in enumerate(classes)}
    if unknown := [word for word in words if word not in index]:
        hint = did_you_mean(unknown[0], classes)
        raise RegraftError(f"{where}: no training image has the label '{unknown[0]}'{hint}")
    return np.array([index[word] for word in words], dtype=np.int64)


def _files(
    table: Any, asked: _Asked, split: str, labels: np.ndarray
) -> tuple[tuple[Path, ...], np.ndarray, tuple[str, ...]]:
    """The images' files, with what predictions.csv calls them."""
    import datasets

    encoded = table.select_columns([asked.image]).cast_column(
        asked.image, datasets.Image(decode=False)
    )
    images = _present((row[asked.image] for row in encoded), asked, split)
    if (encoded[0][asked.image] or {}).get("bytes") is None:  # they are files already
        paths = tuple(Path(image["path"]) for image in images)
    else:
        paths = _written(images, table, asked, split)
    own = Path(asked.path).expanduser().absolute()
    names = (
        path.relative_to(own).as_posix()
        if path.is_relative_to(own)
        else f"{split}/{index:08d}{path.suffix}"
        for index, path in enumerate(paths)
    )
    return paths, labels, tuple(names)


def _present(images: Iterable[Any], asked: _Asked, split: str) -> Iterator[Any]:
    for index, image in enumerate(images):
        if not image:
            raise RegraftError(f"data.path={asked.path}, {split}: row {index} has no image")
        yield image


def _written(images: Iterator[Any], table: Any, asked: _Asked, split: str) -> tuple[Path, ...]:
    """Files that hold the images' bytes, in their order."""
    # The library's own key of a table's content; it has no public name.
    content = key(table=table._fingerprint, column=asked.image)[:16]
    stem = re.sub(r"[^\w.-]+", "--", asked.path.strip("/"))[-80:]
    folder = cache_folder() / "datasets" / "hf" / f"{stem}-{split}-{content}"
    where = f"data.path={asked.path}, {split}"
    try:
        make_whole(folder, lambda part: _write(images, part, len(table), where))
    except (OSError, NotImplementedError) as error:
        raise RegraftError(
            f"data.path={asked.path}: its images cannot be written to {folder}: "
            f"{getattr(error, 'strerror', None) or error}; make room or set REGRAFT_CACHE"
        ) from error
    paths = tuple(sorted(folder.iterdir()))
    if len(paths) != len(table):
        raise RegraftError(f"{folder} is not whole; delete it, and it is written again")
    return paths


def _write(images: Iterator[Any], folder: Path, count: int, where: str) -> Path:
    for index, image in enumerate(tqdm(images, total=count, desc=f"{where}: writing images")):
        suffix = Path(image["path"] or "").suffix.lower()
        path = folder / f"{index:08d}{suffix if suffix in EXTENSIONS else ''}"
        path.write_bytes(image["bytes"] or Path(image["path"]).read_bytes())
    return folder
