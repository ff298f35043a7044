"""On which level of a folder the classes are: not those of data sets, not splits within a class."""

from collections.abc import Collection, Mapping, Sequence
from pathlib import Path

from regraft.data import splits
from regraft.data.names import natural, some
from regraft.errors import RegraftError

_NESTED = "set data.nested=true"
Inside = Mapping[str, Collection[str]]  # what the folders in each class folder are called


def examined(folder: Path, images: Mapping[str, Sequence[Path]]) -> list[str]:
    """What is to be said of the folders in the class folders of a folder, whose images are given.

    Raises RegraftError where the classes, or the splits, seem to be on another level.
    """
    parts = {
        n: [path.relative_to(folder).parts for path in own] for n, own in images.items() if own
    }
    for own in parts.values():
        _refuse_splits(folder, own)
    inside = {
        name: sorted({part[1] for part in own}, key=natural)
        for name, own in parts.items()
        if all(len(part) > 2 for part in own)
    }
    if len(parts) < 2 or len(inside) < len(parts) or min(map(len, inside.values())) < 2:
        return []  # images lie in a class folder, or there is nothing to choose from in it
    if len({*map(tuple, inside.values())}) > 1:
        raise RegraftError(_data_sets(folder, inside))
    names = some([f"'{name}'" for name in next(iter(inside.values()))])
    if all(splits.is_filler(name) or name.casefold().startswith("fold") for name in inside):
        parts_of_it = some([f"'{name}'" for name in inside])
        raise RegraftError(
            f"{folder}: {parts_of_it} look like parts of one data set, as each holds {names}; put "
            f"the images of a class into one folder, or list them with data=manifest; if they are "
            f"classes, {_NESTED}"
        )
    meant = "data=manifest with those as labels, if they are the classes"
    return [f"every class folder holds {names}, whose images are taken together; {meant}"]


def _data_sets(folder: Path, inside: Inside) -> str:
    """What to say where the class folders hold folders of their own."""
    held = [f"'{name}' holds {some([repr(n) for n in own])}" for name, own in inside.items()]
    first = next(iter(inside))
    return (
        f"{folder} holds folders of folders: {some(held, 2)}; if those are the classes, give one "
        f"of them: data.root={folder / first}; if '{first}' is a class, {_NESTED}"
    )


def _refuse_splits(folder: Path, parts: Sequence[tuple[str, ...]]) -> None:
    """Raises RegraftError for a class folder that holds a train and another split."""
    deeper = [part for part in parts if len(part) > 2]
    named = splits.by_split(dict.fromkeys(part[1] for part in deeper))
    if len(named) < 2 or "train" not in named:
        return
    own, (train, *_) = parts[0][0], named["train"]
    both = " and ".join(f"'{names[0]}'" for names in named.values())
    if any(len(part) > 3 for part in deeper if part[1] == train):
        meant = f"it seems to be a data set of its own: data.root={folder / own}"
    else:
        meant = f"make '{train}/{own}' of '{own}/{train}', and likewise of the others"
    raise RegraftError(f"{folder}: '{own}' holds {both}; {meant}; if '{own}' is a class, {_NESTED}")
