"""Images that are in the data twice, byte for byte."""

import hashlib
from collections import defaultdict
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np

from regraft.data.images import Images, SplitName
from regraft.data.sources import Split
from regraft.doctor.findings import Budget, Finding, green, many, red, yellow
from regraft.features import SPLITS
from regraft.fingerprint import as_bytes, digests

BUDGET_S = 3
_AT_ONCE = 256  # between two looks at the clock


@dataclass(frozen=True)
class Member:
    """One image of several that are the same."""

    split: str
    name: str
    label: str

    def __str__(self) -> str:
        return f"{self.name} ({self.split}, {self.label})"


Groups = list[list[Member]]
Place = tuple[SplitName, int]  # a split and an index in it
Splits = Mapping[SplitName, Split]


def exact(images: Images) -> list[Finding]:
    """Copies with two labels, copies in two splits and copies within one, with examples."""
    groups, note = _groups(images, Budget(BUDGET_S))
    if len(groups) == 1 and len(groups[0]) == sum(images.sizes.values()):
        fix = "look at the files: something wrote the same picture everywhere"
        return [red("copies", f"all {len(groups[0]):,} images are the same", fix)]
    named = [group for group in groups if len({member.label for member in group}) > 1]
    leaks = [group for group in groups if len({member.split for member in group}) > 1]
    inside = [group for group in groups if len({(m.split, m.label) for m in group}) == 1]
    findings = []
    if named:
        fix = "decide which label is right and delete the other copies"
        found = _words(named, lambda member: member.label, "with two labels")
        findings.append(red("copies, labels", found + note, fix))
    if leaks:
        fix = "delete the copies from one split: what was trained on cannot judge the training"
        found = _words(leaks, lambda member: member.split, "in two splits")
        findings.append(red("copies, splits", found + note, fix))
    if inside:
        fix = "delete them, unless they are meant to count twice"
        found = _words(inside, lambda member: member.name, "within a split")
        findings.append(yellow("copies", found + note, fix))
    return findings or [green("copies", f"no image is there twice{note}")]


def _groups(images: Images, budget: Budget) -> tuple[Groups, str]:
    """Images that are the same, and in words how many were compared if not all."""
    splits: Splits = {split: images.datasets[split].split for split in SPLITS}
    candidates = _of_equal_size(splits)
    found: dict[bytes, list[Member]] = defaultdict(list)
    done = 0
    while done < len(candidates) and not budget.spent:
        places = candidates[done : done + _AT_ONCE]
        for (split, index), digest in zip(places, _digests(splits, places), strict=True):
            label = images.classes[int(splits[split].labels[index])]
            found[digest].append(Member(split, splits[split].names[index], label))
        done += len(places)
    note = ""
    if done < len(candidates):
        note = f" ({done:,} of {len(candidates):,} files of equal size compared, for lack of time)"
    return [group for group in found.values() if len(group) > 1], note


def _digests(splits: Splits, places: Sequence[Place]) -> list[bytes]:
    images = [splits[split].images[index] for split, index in places]
    paths = [image for image in images if isinstance(image, Path)]
    arrays = [image for image in images if isinstance(image, np.ndarray)]
    return [*digests(paths), *(hashlib.sha256(as_bytes(array)).digest() for array in arrays)]


def _of_equal_size(splits: Splits) -> list[Place]:
    """The images that have another of their size; files of different sizes need not be read."""
    by_size: dict[int, list[Place]] = defaultdict(list)
    for split, whole in splits.items():
        for index, image in enumerate(whole.images):
            if not isinstance(image, Path):
                by_size[image.nbytes].append((split, index))
            elif image.is_file():  # else it cannot be read, which is another finding
                by_size[image.stat().st_size].append((split, index))
    return [place for places in by_size.values() if len(places) > 1 for place in places]


def _words(groups: Groups, differ: Callable[[Member], str], how: str) -> str:
    """How many images, and the first two of one group that differ in what matters."""
    first = groups[0][0]
    other = next(member for member in groups[0][1:] if differ(member) != differ(first))
    be = "is" if len(groups) == 1 else "are"
    return f"{many(len(groups), 'image')} {be} there {how}: {first} = {other}"
