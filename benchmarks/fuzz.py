"""Does every command line end in a fast run or in one clear line? 2,000 random ones are tried.

make fuzz ARGS="seed=1 count=200 processes=4"; a single one again: ARGS="seed=1 only=57"; with what
each was told: ARGS="show=1".
"""

import os
import re
import sys
import tempfile
from collections import Counter
from concurrent.futures import ProcessPoolExecutor
from multiprocessing import get_context
from pathlib import Path

os.environ.setdefault("OMP_NUM_THREADS", "1")
os.environ["HF_HUB_OFFLINE"] = "1"  # read when the hub's library is imported
sys.path.insert(0, str(Path(__file__).parents[1] / "tests" / "support"))

import fuzzing

# Why a line was refused, by the first of these that is found in what it was told.
REASONS = (
    ("no such option, key, group or flag", "no such|nothing reads it|which there is not"),
    ("a value that is none of the kind", "must be|lies between|cannot be null|a word"),
    ("not of the form key=value", "not of the form|there is such a key|is chosen already"),
    ("a sweep without -m, or too many flags", "add -m|go together|goes with|expected one argument"),
    ("something is not set", "is not set|no option is chosen"),
    ("what does not fit together, or is not there", ""),
)


def try_some(seed: int, numbers: list[int], folder: str) -> list[tuple[int, fuzzing.Answer]]:
    """The answers to some of a seed's command lines, all in this process."""
    found = []
    for number in numbers:
        words, small = fuzzing.draw(seed, number)
        answer = fuzzing.ask(words, Path(folder, f"{seed}-{number}"), train=small)
        found.append((number, answer))
        if answer.kind in ("finding", "hang"):
            print(f"{number}: {answer.kind} in {answer.seconds:.1f} s: {words}\n    {answer.line}")
            sys.stdout.flush()
    return found


def main(
    *, seed: int = 0, count: int = 2000, processes: int = 2, only: int = -1, show: int = 0
) -> int:
    """Try them, tell the findings and the figures; 1 if there were findings."""
    numbers = [only] if only >= 0 else list(range(count))
    shares = [numbers[i : i + 25] for i in range(0, len(numbers), 25)]
    with tempfile.TemporaryDirectory(prefix="regraft-fuzz-") as folder:
        os.environ.setdefault("REGRAFT_CACHE", f"{folder}/cache")
        with ProcessPoolExecutor(processes, mp_context=get_context("spawn")) as pool:
            jobs = [pool.submit(try_some, seed, share, folder) for share in shares]
            answers = [answer for job in jobs for answer in job.result()]
    if only >= 0 or show:
        for number, answer in answers:
            print(f"{number}: {answer.kind}: {answer.words}: {answer.line}")
    kinds = Counter(answer.kind for _, answer in answers)
    print(
        f"seed {seed}, {len(answers)} command lines:",
        ", ".join(f"{n} {k}" for k, n in kinds.items()),
    )
    told = [answer.line for _, answer in answers if answer.kind == "refused"]
    reasons = Counter(next(name for name, p in REASONS if re.search(p, line)) for line in told)
    for reason, count in reasons.most_common():
        print(f"  {count:5} refused: {reason}")
    for number, answer in sorted(answers, key=lambda pair: -pair[1].seconds)[:5]:
        print(
            f"  {answer.seconds:5.1f} s  {number}: {answer.kind}: {' '.join(answer.words)[:150]!r}"
        )
    return 1 if kinds["finding"] + kinds["hang"] else 0


if __name__ == "__main__":
    given = dict(word.split("=", 1) for word in sys.argv[1:])
    sys.exit(main(**{name: int(value) for name, value in given.items()}))
