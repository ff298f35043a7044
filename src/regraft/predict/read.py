"""Images in batches: decoded and fitted by threads, a few batches ahead and no more, in order."""

import stat
from collections import deque
from collections.abc import Callable, Iterable, Iterator
from concurrent.futures import Future, ThreadPoolExecutor
from itertools import islice
from typing import NamedTuple

import numpy as np
import torch
from torch import Tensor

from regraft.data.readable import Skipped, why
from regraft.data.transforms import InputConfig, UnreadableImageError, decode, no_warnings
from regraft.predict.asked import Asked

AT_ONCE = 4  # images that a thread takes: to hand one over takes as long as to read a small one


class Batch(NamedTuple):
    """Some images that could be read, and what the answers call them."""

    names: list[str]
    pixels: Tensor  # uint8 (B, 3, H, W), channels last


def batches(
    images: Iterable[Asked],
    input: InputConfig,
    skip: Callable[[Skipped], None],
    *,
    size: int,
    workers: int,
) -> Iterator[Batch]:
    """Batches of `size` images in their order; those that cannot be read go to `skip`, in order.

    At most two batches are ahead of the one that is given. Threads, as decoders let others run,
    and pixels need not be sent from a process to another. Without `workers` this thread reads.
    """
    names: list[str] = []
    pixels = _empty(size, input)
    with no_warnings():
        for asked, read in _in_order(images, input, workers, ahead=2 * size):
            if isinstance(read, str):
                skip(Skipped(asked.name, read))
                continue
            pixels[len(names)] = read
            names.append(asked.name)
            if len(names) == size:
                yield _batch(names, pixels)
                names, pixels = [], _empty(size, input)
        if names:
            yield _batch(names, pixels[: len(names)])


Read = tuple[Asked, np.ndarray | str]


def _in_order(
    images: Iterable[Asked], input: InputConfig, workers: int, *, ahead: int
) -> Iterator[Read]:
    """Each image with its pixels, or with what is wrong with it."""
    images = iter(images)
    if not workers:
        yield from ((asked, _fitted(asked, input)) for asked in images)
        return
    pool = ThreadPoolExecutor(workers, thread_name_prefix="reads images")
    waiting: deque[Future[list[Read]]] = deque()
    try:
        while some := list(islice(images, AT_ONCE)):
            waiting.append(pool.submit(_some, some, input))
            if len(waiting) * AT_ONCE >= ahead:
                yield from waiting.popleft().result()
        while waiting:
            yield from waiting.popleft().result()
    finally:  # also when it is interrupted
        pool.shutdown(cancel_futures=True)


def _some(images: list[Asked], input: InputConfig) -> list[Read]:
    return [(asked, _fitted(asked, input)) for asked in images]


def _fitted(asked: Asked, input: InputConfig) -> np.ndarray | str:
    """The pixels uint8 (H, W, 3) as training saw them, or why they cannot be read."""
    if asked.problem:
        return asked.problem
    try:
        # What is no file, such as a pipe, would be waited for.
        if not stat.S_ISREG(asked.path.stat().st_mode):
            return "not a file"
    except (OSError, ValueError) as error:
        return _in_words(error)
    try:
        # Not by torch, which would start threads of its own in each of these.
        return input.fit(decode(asked.path, input.white)).permute(1, 2, 0).numpy()
    except UnreadableImageError as error:
        return why(error, asked.path)
    except OSError as error:  # it has gone away meanwhile
        return _in_words(error)


def _in_words(error: Exception) -> str:
    absent = isinstance(error, FileNotFoundError)
    return "no such file" if absent else getattr(error, "strerror", None) or str(error)


def _empty(size: int, input: InputConfig) -> np.ndarray:
    return np.empty((size, *input.size, 3), np.uint8)


def _batch(names: list[str], pixels: np.ndarray) -> Batch:
    return Batch(names, torch.from_numpy(pixels).permute(0, 3, 1, 2))
