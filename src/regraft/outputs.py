"""What a finished run leaves behind beside result.json: predictions, pictures, and W&B's copies."""

import logging
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import Any

import numpy as np
import torch
import wandb
from torch import Tensor

from regraft import logits as kept_logits
from regraft import mistakes, pictures, predictions
from regraft.calibration import Calibration
from regraft.data.images import Images, SplitName
from regraft.data.readable import listing
from regraft.data.sources import Source
from regraft.data.transforms import UnreadableImageError
from regraft.jobs import CALLED
from regraft.tracking import Record

Said = dict[SplitName, tuple[Tensor, Tensor]]  # logits (N, num_classes) and labels (N,)
Seen = Sequence[tuple[mistakes.Mistake, np.ndarray]]  # with pixels uint8 (H, W, 3)
_log = logging.getLogger(__name__)
MOST_LINES = 5  # about files that are left out
ROWS = 1024  # of predictions.csv that are made together
MOST_CLASSES = 100  # whose pairs are the 10,000 rows that W&B shows of a table


def write(record: Record, images: Images, splits: Said, calibration: Calibration) -> None:
    """Write predictions.csv and, outside a sweep, the pictures; tell W&B if the run has one.

    `splits` maps those of "val" and "test" that there are to logits (N, num_classes) and labels
    (N,); the pictures are of the last.
    """
    folder, split = record.job.folder, images.judged[-1]
    write_predictions(folder, record.result["id"], images, splits, calibration)
    seen: Seen | None = None
    try:
        worst = _worst(images, split, *splits[split], calibration)
        seen = [(one, _pixels(images, split, one.place)) for one in worst]
        mistakes.write(folder / mistakes.FILE, seen)
    except UnreadableImageError as error:  # gone since its features were computed, say
        _log.warning("the most confident mistakes are not kept: %s", error)
    if record.job.sweep is None:  # else at the sweep's end, so that no job waits for it
        pictures.draw(folder, record.result)
    record.tell(lambda run: run.log(_media(record, images, split, seen, *splits[split])))


def write_skipped(record: Record, source: Source) -> None:
    """Write skipped.csv, a row per image that was left out; say how many and of what kinds, and
    what is white in the others."""
    skipped = source.skipped
    record.add(data={"skipped": len(skipped)})
    for line in source.left_out[:MOST_LINES]:
        _log.warning("%s", line)
    if others := source.left_out[MOST_LINES:]:
        _log.warning("files of %d other classes are left out, too", len(others))
    if source.litter:
        _log.info("beside the images lie: %s", source.litter)
    if source.white.told:
        record.add(data={"white": source.white.values})
        _log.info("white of %s", source.white.told)
    if source.white.odd:
        _log.warning("%s", source.white.odd)
    if not skipped:
        return
    path = record.job.folder / "skipped.csv"
    with listing(path) as skip:
        for image in skipped:
            skip(image)
    several = f"{len(skipped)} images" if len(skipped) > 1 else "1 image"
    _log.warning("%s cannot be read and left out: %s", several, path)


def _media(
    record: Record,
    images: Images,
    split: SplitName,
    seen: Seen | None,
    logits: Tensor,
    labels: Tensor,
) -> dict[str, Any]:
    """What W&B shows beside the curves; it draws for itself. None stands for mistakes that cannot
    be read any more."""
    media: dict[str, Any] = {"plan": _table(record.result["plan"])}
    if seen is not None:
        media[f"{split}/confident_mistakes"] = _mistakes(seen)
    if len(images.classes) <= MOST_CLASSES:
        media["confusion_matrix"] = wandb.plot.confusion_matrix(
            y_true=labels.tolist(),
            preds=logits.argmax(1).tolist(),
            class_names=list(images.classes),
            title=f"Confusion matrix of the {CALLED[split]} images",
        )
    return media


def write_predictions(
    folder: Path, run: str, images: Images, splits: Said, calibration: Calibration
) -> None:
    """Write what a run said: calibrated probabilities into predictions.csv, logits beside it.

    `splits` maps their names to logits (N, num_classes) and labels (N,).
    """
    given: dict[str, kept_logits.Split] = {
        name: (logits.numpy(), labels.numpy()) for name, (logits, labels) in splits.items()
    }
    kept_logits.write(folder / kept_logits.NAME, run, images.classes, given)
    said: dict[str, predictions.Rows] = {
        name: (images.names[name], labels.numpy(), _rows(logits, calibration))
        for name, (logits, labels) in splits.items()
    }
    predictions.write(folder / predictions.NAME, images.classes, said)


def _rows(logits: Tensor, calibration: Calibration) -> Iterator[np.ndarray]:
    for part in logits.split(ROWS):
        yield from calibration.apply(part.numpy())


def _worst(
    images: Images, split: SplitName, logits: Tensor, labels: Tensor, calibration: Calibration
) -> list[mistakes.Mistake]:
    """The most confident mistakes of (N, num_classes) logits against labels (N,)."""
    confidence = torch.from_numpy(calibration.confidence(logits.numpy()))
    predicted = logits.argmax(1)
    wrong = (predicted != labels).nonzero().flatten()
    first = wrong[confidence[wrong].argsort(descending=True, stable=True)][: mistakes.MOST]
    names, classes = images.names[split], images.classes
    return [
        mistakes.Mistake(
            index,
            names[index],
            classes[int(labels[index])],
            classes[int(predicted[index])],
            round(float(confidence[index]), 4),
        )
        for index in first.tolist()
    ]


def _pixels(images: Images, split: SplitName, index: int) -> np.ndarray:
    """An image as the network is given it, uint8 (H, W, 3)."""
    return images.datasets[split][index][0].permute(1, 2, 0).numpy()


def _mistakes(seen: Seen) -> wandb.Table:
    """The test images that the model was most sure of and wrong about."""
    table = wandb.Table(columns=["image", "name", "true", "predicted", "confidence"])
    for (_, *told), pixels in seen:
        table.add_data(wandb.Image(pixels), *told)
    return table


def _table(rows: list[dict[str, Any]]) -> wandb.Table:
    columns: list[Any] = list(rows[0])
    return wandb.Table(columns=columns, data=[[row[name] for name in columns] for row in rows])
