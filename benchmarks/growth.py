"""Does the cost grow in proportion, with the number of jobs and with the number of images?"""

from collections.abc import Callable, Sequence
from contextlib import nullcontext
from functools import partial

import numpy as np
import task

JOBS = (1, 4, 16, 64)
IMAGES = (1_000, 4_000, 16_000)
COMMON = ["logger=none", "trainer.accelerator=cpu", "strategy=feature_extraction", "head=linear"]


def measure(jobs: int = 64, images: int = 16_000, epochs: int = 3, rounds: int = 3) -> task.Seconds:
    """Seconds for each number up to `jobs` and `images`, and the line that fits them best."""
    counts = [count for count in JOBS if count <= jobs]
    sizes = [size for size in IMAGES if size <= images]
    common = [*COMMON, f"trainer.max_epochs={epochs}"]
    data = ["data=fractals", f"data.classes={task.CLASSES}", "data.val=5", "data.test=5"]
    data.append(f"data.train={max(sizes) // task.CLASSES}")

    def sweep(count: int) -> float:
        return task.sweep(([*common, f"seed={seed}"] for seed in range(count)), misses=0)[0]

    def words(size: int) -> list[str]:
        return [*common, *data, f"data.per_class={size // task.CLASSES}"]

    def job(size: int, *, empty: bool) -> float:
        with task.empty_cache() if empty else nullcontext():
            return task.sweep([words(size)], misses=int(empty))[0]

    programs: dict[str, Callable[[], float]] = {f"{n} jobs": partial(sweep, n) for n in counts}
    for state in ("empty", "full"):
        for size in sizes:
            name = f"{size} images, {state} cache"
            programs[name] = partial(job, size, empty=state == "empty")
    with task.empty_cache():
        task.sweep([common, *map(words, sizes)])  # renders, warms up and fills the cache
        seconds = task.in_turn(programs, rounds)
    made = {f"{name}, s": values for name, values in seconds.items()}
    made |= _line("jobs", counts, [seconds[f"{n} jobs"] for n in counts])
    for state in ("empty", "full"):
        times = [seconds[f"{size} images, {state} cache"] for size in sizes]
        made |= _line(f"images, {state} cache", sizes, times)
    return made


def _line(what: str, numbers: Sequence[int], times: Sequence[Sequence[float]]) -> task.Seconds:
    """For each round: milliseconds for one more, how far the line is off, and the exponent.

    The line and its misses are relative to what was measured, so that the small ones count. An
    exponent of the steepest part, the last two numbers: 1 is in proportion, 2 would be its square.
    """
    slopes, misses, exponents = [], [], []
    for seconds in zip(*times, strict=True):
        measured = np.array(seconds)
        line = np.polyfit(numbers, measured, 1, w=1 / measured)
        slopes.append(1000 * line[0])
        misses.append(100 * np.abs(np.polyval(line, numbers) / measured - 1).max())
        exponents.append(np.polyfit(np.log(numbers[-2:]), np.log(measured[-2:]), 1)[0])
    return {
        f"{what}: slope, ms for one more": slopes,
        f"{what}: largest residual of the line, %": misses,
        f"{what}: exponent between the last two": exponents,
    }
