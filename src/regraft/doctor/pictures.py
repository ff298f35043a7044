"""What the sampled images look like: unreadable, small, constant, far from normal, nearly equal."""

import math
from pathlib import Path

import numpy as np

from regraft.data.images import Images
from regraft.data.names import some
from regraft.data.white import Whites
from regraft.doctor.findings import Finding, green, many, red, yellow
from regraft.doctor.look import Sample, Seen

# Measured with 30 to 2,000 images at a time: of 7,200 digits, which are alike by nature, one was
# taken for a copy of another; of 9,300 fractals none, of 8,400 tiles and collages of photographs
# one. Of copies, 85 % of digits coded anew are found, 81 to 100 % of the others coded anew, resized
# to 80 %, brightened or given more contrast. What is mirrored or cropped is not.
ALIKE = 0.975  # cosine similarity of thumbnails
NEARER = 5  # times as near as the second nearest
SAME = 0.997  # above any two different digits, so however many others are as near
MEAN = 1.5  # of normalised images, from 0
STD = (0.25, 3.0)  # of normalised images, at least and at most
_ROWS = 1024  # that are compared with all others at once


def unreadable(images: Images, sample: Sample, on_error: str | None, ways: str) -> list[Finding]:
    """Files that are no images, cut off or not there; `ways` of `on_error` go on without them."""
    if not sample.unreadable:
        return [green("readable", f"{sample.words}: all can be read")]
    names = [f"{images.names[split][index]} ({why})" for split, index, why in sample.unreadable]
    found = f"{sample.words}: {len(names):,} cannot be read: {some(names)}"
    if on_error == "fail":
        fix = f"{ways}, or repair or delete the files: the first one would end the training"
        return [red("readable", found, fix)]
    return [yellow("readable", f"{found}; data.on_error={on_error}", "repair or delete the files")]


def input_size(images: Images, sample: Sample) -> list[Finding]:
    """What the weights want to see, and how much smaller the images are."""
    wanted = images.input
    height, width = wanted.size
    mean, std = (", ".join(f"{v:.3g}" for v in values) for values in (wanted.mean, wanted.std))
    found = (
        f"{height}×{width} pixels, mean {mean}, std {std}, {wanted.interpolation}, "
        f"crop {wanted.crop_pct:g} {wanted.crop_mode}"
    )
    findings = [green("input", found)]
    if not sample.seen:
        return findings
    scales = [min(s.size[0] / height, s.size[1] / width) for s in sample.seen]
    smaller, tiny = (sum(scale < limit for scale in scales) / len(scales) for limit in (1, 0.5))
    middle = sample.seen[int(np.argsort(scales)[len(scales) // 2])].size
    found = f"{smaller:.0%} of the images are smaller than the input (e.g. {middle[0]}×{middle[1]})"
    if tiny > 0.5:
        fix = "use larger originals, or a smaller input, which is faster: backbone.size=<pixels>"
        findings.append(yellow("upscaled", f"{found}, {tiny:.0%} less than half of it", fix))
    else:
        findings.append(green("upscaled", found))
    return findings


def white(whites: Whites) -> list[Finding]:
    """What is white in images of more than eight bits, and which pixels cannot be shown."""
    findings = [green("white", whites.told)] if whites.told else []
    if whites.odd:
        fix = "bring the values to 0 and above, black to white; data.white=<number> sets white"
        findings.append(yellow("pixels", whites.odd, fix))
    return findings


def brightness(images: Images, sample: Sample) -> list[Finding]:
    """Mean and spread of normalised images, and images of a single colour."""
    if not sample.seen:
        return []
    moments = np.mean([one.moments for one in sample.seen], axis=0)
    mean, std = float(moments[0]), math.sqrt(max(0.0, moments[1] - moments[0] ** 2))
    found = f"normalised images have mean {mean:.2f} and std {std:.2f}; the weights expect 0 and 1"
    if abs(mean) > MEAN or not STD[0] <= std <= STD[1]:
        fix = "look at some: inverted, all dark, or masks? if they are right, strategy=finetune"
        findings = [yellow("brightness", found, fix)]
    else:
        findings = [green("brightness", found)]
    if flat := [one for one in sample.seen if one.constant]:
        names = [_name(images, one) for one in flat]
        has = "has" if len(flat) == 1 else "have"
        found = f"{len(flat):,} of {many(len(sample.seen), 'image')} {has} a single colour"
        found += f": {some(names)}"
        findings.append(yellow("constant", found, "look at them, and delete what shows nothing"))
    return findings


def near_copies(images: Images, sample: Sample) -> list[Finding]:
    """Images of val and test that differ from one of train in little but size or coding."""
    train = [one for one in sample.seen if one.split == "train" and one.thumbnail.any()]
    judged = [one for one in sample.seen if one.split != "train" and one.thumbnail.any()]
    what = f"{len(judged):,} of val and test compared with {len(train):,} of train"
    if not train or not judged:
        return [green("near copies", f"{what}: too few to say")]
    pairs = [pair for pair in _nearest(train, judged) if not _identical(images, *pair)]
    how = f"cosine of 16×16 thumbnails from {ALIKE}"
    if not pairs:
        return [green("near copies", f"none: {what} ({how})")]
    shown = [f"{_name(images, one)} ≈ {_name(images, other)}" for one, other in pairs]
    found = f"{many(len(pairs), 'pair')}, {what} ({how}): {some(shown, 2)}"
    fix = "look at them; keep copies of a scene in one split: data=manifest with a group column"
    return [yellow("near copies", found, fix)]


def _nearest(train: list[Seen], judged: list[Seen]) -> list[tuple[Seen, Seen]]:
    """Who of `judged` is like whom of `train`; `_ROWS` at a time, to bound the memory."""
    rows = np.stack([one.thumbnail for one in (*train, *judged)])
    pairs = []
    for start in range(0, len(judged), _ROWS):
        first = len(train) + start
        similar = rows[first : first + _ROWS] @ rows.T
        for number, line in enumerate(similar):
            line[first + number] = -1.0  # itself
            nearest = int(line[: len(train)].argmax())
            best, line[nearest] = float(line[nearest]), -1.0
            alone = NEARER * (1 - best) <= 1 - line.max()
            if best >= SAME or (alone and best >= ALIKE):
                pairs.append((judged[start + number], train[nearest]))
    return pairs


def _identical(images: Images, one: Seen, other: Seen) -> bool:
    """Whether they are the same byte for byte, which is another finding."""
    a, b = (images.datasets[seen.split].split.images[seen.index] for seen in (one, other))
    if isinstance(a, Path):
        return isinstance(b, Path) and a.read_bytes() == b.read_bytes()
    return not isinstance(b, Path) and np.array_equal(a, b)


def _name(images: Images, seen: Seen) -> str:
    return f"{images.names[seen.split][seen.index]} ({seen.split})"
