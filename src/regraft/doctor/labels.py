"""How many images there are of what, and whether that is enough to learn from and to judge by."""

import numpy as np

from regraft.data.names import some
from regraft.doctor.findings import Finding, green, many, yellow
from regraft.doctor.job import Job
from regraft.features import SPLITS
from regraft.statistics import wilson

IMBALANCED = 5  # times as many images in the largest class as in the smallest
FEW = 5  # training images of a class
NEW_PER_IMAGE = 1000  # parameters from random weights for each training image
WIDE = 0.1  # half an interval of accuracy
ACCURACY = 0.8  # at which the interval's width is told


def counts(job: Job) -> list[Finding]:
    """The classes, and how many images of each are in each split."""
    images = job.images
    by_split: dict[str, np.ndarray] = {
        split: np.bincount(images.labels(split).numpy(), minlength=images.num_classes)
        for split in SPLITS
    }
    table = {
        name: {split: int(count[index]) for split, count in by_split.items()}
        for index, name in enumerate(images.classes)
    }
    sizes = ", ".join(f"{images.sizes[split]:,} {split}" for split in SPLITS)
    found = f"{images.source.name}: {images.num_classes} classes, {sizes} images"
    findings = [Finding("classes", "green", found, table=table)]
    if images.source.origin:
        findings.append(green("splits", images.source.origin))
    fix = "nothing, if that is meant; else correct the table or the folders"
    findings += [yellow("left out or joined", remark, fix) for remark in images.source.remarks]
    for split in images.judged:
        if lost := [name for name, count in table.items() if not count[split]]:
            found = f"{split} has no image of {some(lost)}, so nothing tells how good they are"
            fix = f"add some to {split}, or let regraft split it off train (data.{split}_fraction)"
            findings.append(yellow("missing classes", found, fix))
    return findings + balance(table, job)


def balance(table: dict[str, dict[str, int]], job: Job) -> list[Finding]:
    """Whether classes are of similar size in train, and none of them tiny."""
    trained = {name: count["train"] for name, count in table.items()}
    small, large = min(trained, key=trained.__getitem__), max(trained, key=trained.__getitem__)
    found = f"{trained[large]:,} training images of {large}, {trained[small]:,} of {small}"
    if trained[large] == trained[small]:
        found = f"{many(trained[small], 'training image')} of every class"
    findings = []
    if trained[large] < IMBALANCED * trained[small]:
        findings.append(green("balance", found))
    elif job.images.balance and (job.images.balance.draws or job.images.balance.loss):
        findings.append(green("balance", f"{found}; balance makes up for it"))
    else:
        fix = (
            "balance=weights or balance=sampler, and judge by macro F1 instead of accuracy: "
            "callbacks.checkpoint.monitor=val/macro_f1"
        )
        findings.append(yellow("balance", found, fix))
    if trained[small] < FEW:
        found = f"{many(trained[small], 'training image')} of {small}"
        fix = "collect more of it, or join it with another class; strategy=collect says how many"
        findings.append(yellow("few images", found, fix))
    return findings


def enough(job: Job) -> list[Finding]:
    """How many parameters learn from how many images."""
    train, trained = job.images.sizes["train"], job.trained()
    stages = job.plan.indices("reset")
    new = sum(job.backbone.stages[index].parameters for index in stages)
    found = f"{trained:,} parameters learn from {train:,} images: {trained / train:,.0f} per image"
    if new <= NEW_PER_IMAGE * train:
        return [green("parameters", found)]
    found += f", {new / train:,.0f} of them from random weights"
    fix = "compare: -m strategy=feature_extraction,finetune,scratch; few images rarely fill so many"
    return [yellow("parameters", found, fix)]


def precision(job: Job) -> list[Finding]:
    """How exactly the images of val and test can tell an accuracy."""
    findings = []
    for split in job.images.judged:
        images = job.images.sizes[split]
        low, high = wilson(ACCURACY, images)
        points = 50 * (high - low)
        found = (
            f"{many(images, 'image')} tell an accuracy of {ACCURACY:.0%} to ± {points:.1f} points"
        )
        if points <= 100 * WIDE:
            findings.append(green(f"{split} size", found))
        else:
            fix = f"more images for {split}"
            if "fold" in job.cfg.data:
                fix += ", or cross-validation: -m data.fold=0,1,2,3,4"
            findings.append(yellow(f"{split} size", found, fix))
    return findings
