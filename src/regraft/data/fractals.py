"""Formula-driven images: classes of iterated function systems, rendered by seed, kept on disk."""

import hashlib
import logging
import os
import tempfile
from collections.abc import Iterator
from contextlib import nullcontext
from dataclasses import dataclass
from pathlib import Path
from typing import Literal

import numpy as np

from regraft.errors import RegraftError
from regraft.paths import cache_folder, take

Role = Literal["source", "target"]
RENDERER_VERSION = 1  # part of the cache key: raise it whenever any pixel changes

_ROLES: dict[Role, int] = {"source": 0, "target": 1}
_CHUNK = 64  # images rendered together: more costs cache misses, fewer the overhead of calls
_WARM_UP, _STEPS = 12, 24  # steps of the chaos game that are thrown away, and that are drawn
_CHAINS_PER_PIXEL_ROW = 6  # points per image = chains x steps = 144 x size
_PERTURBATION = 0.12  # how far an instance strays from the system of its class
_log = logging.getLogger(__name__)


@dataclass(frozen=True)
class System:
    """An iterated function system of n contractions x -> turn(a) diag(scale) turn(b) x + shift."""

    turns: np.ndarray  # (n, 2) angles
    scales: np.ndarray  # (n, 2) singular values, the larger one first, signed by reflection
    shifts: np.ndarray  # (n, 2)

    def maps(self) -> np.ndarray:
        """The matrices and shifts side by side, (..., n, 2, 3)."""
        turned = _rotation(self.turns[..., 0]) * self.scales[..., None, :]
        return np.concatenate([turned @ _rotation(self.turns[..., 1]), self.shifts[..., None]], -1)

    def counts(self, points: int) -> np.ndarray:
        """How many of the points go through each map: by its area, so that ink is even."""
        areas = np.maximum(np.abs(self.scales.prod(-1)), 0.02)
        edges = np.round(np.cumsum(areas / areas.sum()) * points).astype(int)
        return np.diff(edges, prepend=0)


def system(role: Role, index: int, *, seed: int) -> System:
    """The system that defines one class: the first of its random stream that fills the frame."""
    rng = np.random.default_rng(np.random.SeedSequence(seed, spawn_key=(_ROLES[role], index)))
    while True:
        candidate = _sample_system(rng)
        if _fills_frame(candidate):
            return candidate


def render(
    role: Role, classes: int, per_class: int, *, size: int, seed: int, start: int = 0
) -> np.ndarray:
    """Images `start` to `start + per_class` of every class, uint8 (images, size, size, 3).

    They are ordered by class, and image i of class c is the same whatever else is rendered.
    Method: Kataoka et al. 2020, Pre-training without natural images, with the sampling of
    systems of Anderson & Farrell 2022, Improving fractal pre-training.
    """
    images = np.empty((classes * per_class, size, size, 3), np.uint8)
    done = 0
    for chunk in _chunks(role, classes, per_class, size=size, seed=seed, start=start):
        images[done : done + len(chunk)] = chunk
        done += len(chunk)
    return images


def cached(
    role: Role, classes: int, per_class: int, *, size: int, seed: int, start: int = 0
) -> np.ndarray:
    """What `render` gives, read-only and memory-mapped from `$REGRAFT_CACHE` or ~/.cache/regraft.

    Jobs that race render once. A damaged file is rendered again, and a folder that cannot be
    written costs a warning and memory, never the job.
    """
    choices = {"size": size, "seed": seed, "start": start}
    key = f"{RENDERER_VERSION} {role} {classes} {per_class} {sorted(choices.items())}"
    digest = hashlib.sha256(key.encode()).hexdigest()[:16]
    shape = (classes * per_class, size, size, 3)
    try:
        path = cache_folder() / "fractals" / f"{role}-{classes}x{per_class}-{size}px-{digest}.npy"
        if (images := _open(path, shape)) is not None:
            return images
        path.parent.mkdir(parents=True, exist_ok=True)
        with take(path.with_suffix(".lock")) or nullcontext():
            if (images := _open(path, shape)) is None:
                _write(path, shape, _chunks(role, classes, per_class, **choices))
                images = _open(path, shape)
        if images is not None:
            return images
        reason = "the file written there cannot be read back"
    except (OSError, RegraftError) as error:  # RegraftError: no home folder
        reason = str(error)
    _log.warning("fractals are rendered in memory, not cached: %s (set REGRAFT_CACHE)", reason)
    images = render(role, classes, per_class, **choices)
    images.flags.writeable = False
    return images


def _open(path: Path, shape: tuple[int, ...]) -> np.ndarray | None:
    """The images of a whole file, None for one that is missing, short or something else."""
    try:
        images = np.lib.format.open_memmap(path, mode="r")
    except (FileNotFoundError, ValueError, EOFError):
        return None
    if images.shape != shape or images.dtype != np.uint8:
        return None
    excess = path.stat().st_size - images.offset - images.nbytes
    return images if excess == 0 else None


def _write(path: Path, shape: tuple[int, ...], chunks: Iterator[np.ndarray]) -> None:
    """A .npy file, complete or not there; plain writes, since a full disk kills a mapped one."""
    handle, name = tempfile.mkstemp(dir=path.parent, prefix=path.stem, suffix=".part")
    try:
        with os.fdopen(handle, "wb") as file:
            header = {"descr": "|u1", "fortran_order": False, "shape": shape}
            np.lib.format.write_array_header_1_0(file, header)
            for chunk in chunks:
                file.write(chunk.data)
        Path(name).replace(path)
    except BaseException:
        Path(name).unlink(missing_ok=True)
        raise


def _chunks(
    role: Role, classes: int, per_class: int, *, size: int, seed: int, start: int
) -> Iterator[np.ndarray]:
    for index in range(classes):
        base = system(role, index, seed=seed)
        for first in range(start, start + per_class, _CHUNK):
            keys = (
                (_ROLES[role], index, image)
                for image in range(first, min(first + _CHUNK, start + per_class))
            )
            streams = [np.random.SeedSequence(seed, spawn_key=key) for key in keys]
            yield _draw(base, [np.random.default_rng(stream) for stream in streams], size)


def _sample_system(rng: np.random.Generator) -> System:
    """Two to five contractions whose summed singular values make neither dust nor a blob."""
    n = int(rng.integers(2, 6))
    while True:
        scales = -np.sort(-rng.uniform(0.1, 0.95, (n, 2)), axis=1)
        if 0.5 * (n + 5) <= (scales @ [1.0, 2.0]).sum() <= 0.5 * (n + 6):
            break
    signs = rng.choice([-1.0, 1.0], (n, 2))
    return System(rng.uniform(-np.pi, np.pi, (n, 2)), scales * signs, rng.uniform(-1, 1, (n, 2)))


def _fills_frame(candidate: System) -> bool:
    xy = _attractor(candidate.maps()[..., None], candidate.counts(192))[:, :, :, 0]
    low, high = xy.min((1, 2)), xy.max((1, 2))
    if not 0.5 < (high[0] - low[0]) / (high[1] - low[1]) < 2.0:
        return False
    cells = ((xy - low[:, None, None]) / (high - low).max() * 31.99).astype(int)
    filled = np.unique(cells[0] * 32 + cells[1]).size / 32**2
    return 0.15 < filled < 0.6


def _attractor(maps: np.ndarray, counts: np.ndarray) -> np.ndarray:
    """Chaos games, many at once: maps (n, 2, 3, images) to xy (2, steps, chains, images).

    Before each step the chains are shuffled, and then each map takes a block of them, which is
    as good as every chain choosing its map at random, and needs no gathering of coefficients.
    """
    chains, images = int(counts.sum()), maps.shape[-1]
    rng = np.random.default_rng(0)  # the same game for every image: only the maps differ
    order = np.stack([rng.permutation(chains) for _ in range(_WARM_UP + _STEPS)])
    edges = np.concatenate([[0], np.cumsum(counts)])
    maps = maps.astype(np.float32)
    x, y = np.zeros((2, chains, images), np.float32)
    xy = np.empty((2, _STEPS, chains, images), np.float32)
    new = np.empty((2, chains, images), np.float32)
    for step in range(_WARM_UP + _STEPS):
        x, y = x[order[step]], y[order[step]]
        out = xy[:, step - _WARM_UP] if step >= _WARM_UP else new
        for k, rows in enumerate(map(slice, edges[:-1], edges[1:])):
            for axis in (0, 1):
                a, b, c = maps[k, axis]
                out[axis, rows] = a * x[rows] + b * y[rows] + c
        x, y = out
    return xy


def _draw(base: System, streams: list[np.random.Generator], size: int) -> np.ndarray:
    """One image of the class per random stream, uint8 (images, size, size, 3)."""
    n = len(base.scales)
    strays = np.stack([rng.uniform(-1, 1, (n, 6)) for rng in streams]) * _PERTURBATION
    systems = System(
        base.turns + strays[..., 0:2],
        np.clip(base.scales * (1 + strays[..., 2:4]), -0.95, 0.95),
        base.shifts + strays[..., 4:6],
    )
    counts = base.counts(_CHAINS_PER_PIXEL_ROW * size)
    xy = _attractor(np.moveaxis(systems.maps(), 0, -1), counts)
    ink = _histogram(_pose(xy, np.stack([rng.random(5) for rng in streams])), counts, size)
    return _colour(ink, streams)


def _pose(xy: np.ndarray, luck: np.ndarray) -> np.ndarray:
    """Each attractor fitted into the unit square, then turned, mirrored, scaled and shifted."""
    low, high = xy.min((1, 2)), xy.max((1, 2))  # (2, images)
    turn, mirror, scale, *shift = luck.T
    angle = (2 * turn - 1) * np.pi / 6
    scale = (0.7 + 0.35 * scale) / (high - low).max(0)
    matrix = np.moveaxis(_rotation(angle), 0, -1) * scale
    matrix[:, 0] *= np.where(mirror < 0.5, -1.0, 1.0)
    target = 0.5 + 0.12 * (2 * np.stack(shift) - 1)
    offset = target - (matrix * (low + high) / 2).sum(1)
    (a, b), (c, d) = matrix.astype(np.float32)
    e, f = offset.astype(np.float32)
    x, y = xy
    xy = np.stack([a * x, c * x])
    xy[0] += b * y + e
    xy[1] += d * y + f
    return xy


def _histogram(xy: np.ndarray, counts: np.ndarray, size: int) -> np.ndarray:
    """Points per pixel, float32 (2, images, size, size), by whether the last map is odd or even."""
    images, wide = xy.shape[-1], size + 2  # a border catches what falls outside
    xy = xy * np.float32(size) + np.float32(1)
    cells = np.clip(xy, 0, wide - 1, out=xy).astype(np.int32)
    bins = cells[1] * wide + cells[0] + np.arange(images, dtype=np.int32) * wide**2
    parity = np.repeat(np.arange(len(counts)) % 2, counts).astype(np.int32)
    bins += (parity * images * wide**2)[:, None]
    ink = np.bincount(bins.ravel(), minlength=2 * images * wide**2)
    return ink.reshape(2, images, wide, wide)[:, :, 1:-1, 1:-1].astype(np.float32)


def _colour(ink: np.ndarray, streams: list[np.random.Generator]) -> np.ndarray:
    """Two random inks on a random, uneven, noisy ground: colour says nothing about the class."""
    size = ink.shape[-1]
    total = ink.sum(0)
    typical = total.sum((1, 2)) / np.maximum((total > 0).sum((1, 2)), 1)
    cover = (total / (total + 0.3 * typical[:, None, None]))[:, None]
    first = (ink[0] / np.maximum(total, 1))[:, None]
    palettes = np.stack([_palette(rng) for rng in streams])[..., None, None].astype(np.float32)
    ground, ink_a, ink_b = np.moveaxis(palettes, 1, 0)  # each (images, 3, 1, 1)
    clouds = np.stack([rng.uniform(-1, 1, (3, 4, 4)) * rng.uniform(0, 35) for rng in streams])
    ramp = np.clip(1 - np.abs(np.linspace(0, 3, size)[:, None] - np.arange(4)), 0, 1)
    ground = ground + (ramp @ clouds @ ramp.T).astype(np.float32)
    picture = first * (ink_a - ink_b)
    picture += ink_b - ground
    picture *= cover
    picture += ground + np.stack([_grain(rng, size) for rng in streams])[:, None]
    np.clip(picture, 0, 255, out=picture)
    return np.ascontiguousarray(picture.astype(np.uint8).transpose(0, 2, 3, 1))


def _palette(rng: np.random.Generator) -> np.ndarray:
    """RGB of the ground and two inks, (3, 3) in 0..255, both inks well apart from the ground."""
    while True:
        palette = rng.uniform(0, 255, (3, 3))
        grey = palette.mean(1, keepdims=True)
        palette = grey + rng.random() * (palette - grey)  # from vivid to no colour at all
        if np.abs(palette[1:] - palette[0]).mean(1).min() > 70:
            return palette


def _grain(rng: np.random.Generator, size: int) -> np.ndarray:
    strength = np.float32(rng.uniform(0, 0.2))
    return (rng.integers(0, 256, (size, size), np.uint8) - np.float32(127.5)) * strength


def _rotation(angle: np.ndarray) -> np.ndarray:
    cos, sin = np.cos(angle), np.sin(angle)
    return np.stack([np.stack([cos, -sin], -1), np.stack([sin, cos], -1)], -2)
