"""Where the time of a job goes that trains a head on features that are there: `make profile`.

Such a job is what a sweep is made of. It runs in this process, as the second and later jobs of a
sweep do; the first two runs fill the caches and are not counted.
"""

import cProfile
import pstats
import sys
import tempfile
import time
from pathlib import Path

from rich.console import Console
from rich.table import Table

sys.path.insert(0, str(Path(__file__).parents[1] / "tests" / "support"))
from jobs import run_job

# What a function is called here, and the name and the end of the file of the function; a part
# that is inside another one is indented.
PARTS = (
    ("compose the config", "compose", "hydra/compose.py"),
    ("start the W&B run", "wandb_logger", "regraft/logger.py"),
    ("check the config", "check", "regraft/config.py"),
    ("git and versions", "blank_result", "regraft/tracking.py"),
    ("load the weights", "graft", "regraft/plan.py"),
    ("set up the trainer", "make_trainer", "regraft/experiment.py"),
    ("decide and cut", "decide", "regraft/features.py"),
    ("print the plan", "show_plan", "regraft/summary.py"),
    ("find the features", "compute", "regraft/features.py"),
    ("  hash of the weights", "weights_hash", "regraft/recipe.py"),
    ("  hash of the images", "fingerprint", "regraft/data/images.py"),
    ("fit", "fit", "trainer/trainer.py"),
    ("  steps", "advance", "loops/training_epoch_loop.py"),
    ("  validation", "run", "loops/evaluation_loop.py"),
    ("  checkpoints", "save_checkpoint", "trainer/trainer.py"),
    ("  W&B", "log_metrics", "regraft/logger.py"),
    ("load the best weights", "load_best", "regraft/experiment.py"),
    ("predict val and test", "predict", "trainer/trainer.py"),
    ("metrics", "metrics", "regraft/tracking.py"),
    ("predictions, pictures, W&B", "write", "regraft/outputs.py"),
    ("  predictions.csv", "write_predictions", "regraft/outputs.py"),
    ("  tables for W&B", "_media", "regraft/outputs.py"),
    ("finish the W&B run", "_finish", "regraft/tracking.py"),
    ("print the summary", "show_result", "regraft/summary.py"),
)


def main() -> None:
    """Print a table of the parts of the third run; words of the command line choose the job."""
    words = sys.argv[1:]
    with tempfile.TemporaryDirectory() as folder:
        for number in range(2):
            _run(Path(folder) / str(number), words)
        unprofiled = _run(Path(folder) / "2", words)
        profile = cProfile.Profile()
        profile.enable()
        total = _run(Path(folder) / "3", words)
        profile.disable()
    stats = pstats.Stats(profile).stats  # type: ignore[attr-defined]
    table = Table(title=f"one job: {unprofiled:.2f} s")
    for column in ("part", "seconds under the profiler", "calls"):
        table.add_column(column, justify="left" if column == "part" else "right")
    rest = total
    for name, function, file in PARTS:
        seen = [v for k, v in stats.items() if k[2] == function and k[0].endswith(file)]
        seconds, calls = sum(value[3] for value in seen), sum(value[1] for value in seen)
        rest -= 0 if name.startswith(" ") else seconds
        table.add_row(name, f"{seconds:.3f}", f"{calls}")
    table.add_row("the rest", f"{rest:.3f}", "")
    Console().print(table)


def _run(folder: Path, words: list[str]) -> float:
    started = time.perf_counter()
    run_job(folder, *words, sweep=True)
    return time.perf_counter() - started


if __name__ == "__main__":
    main()
