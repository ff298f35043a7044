"""The files in class folders that are no images to us: counted, listed, and told apart."""

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from itertools import chain
from pathlib import Path

from regraft.data import formats
from regraft.data.readable import LEFT_OUT, Skipped


@dataclass(frozen=True)
class Others:
    """What is said of them."""

    skipped: tuple[Skipped, ...]  # a row for each that may be a picture
    lines: tuple[str, ...]  # one for each class that has such files
    litter: str  # what nobody takes for an image, by its kinds


def examined(files: Mapping[str, Sequence[Path]], images: Mapping[str, int], base: Path) -> Others:
    """Look into the files by class that are not read, beside so many images of each that are."""
    reasons = {
        name: {p: formats.why_not_read(p) for p in paths if not formats.is_litter(p.name)}
        for name, paths in files.items()
    }
    rows = (_rows(of_class, base) for of_class in reasons.values())
    lines = (
        formats.left_out(f"class {name}", images.get(name, 0), [*of_class.values()])
        for name, of_class in reasons.items()
    )
    names = (path.name for path in chain.from_iterable(files.values()))
    litter = formats.litter(filter(formats.is_litter, names))
    return Others(tuple(chain.from_iterable(rows)), tuple(filter(None, lines)), litter)


def _rows(reasons: Mapping[Path, str], base: Path) -> Iterable[Skipped]:
    for path, reason in reasons.items():
        yield Skipped(path.relative_to(base).as_posix(), f"{LEFT_OUT}{reason}")
