"""What the plan does to the network: learning rates, what is computed once, batch norm."""

from torch.nn.modules.batchnorm import _BatchNorm

from regraft import lr_range
from regraft.doctor.findings import Finding, green, yellow
from regraft.doctor.job import Job

SMALL_BATCH = 8  # images, below which batch statistics are too noisy to learn with


def rates(job: Job) -> list[Finding]:
    """The learning rate of each stage and of the head, as the optimizer would have them."""
    optimizer = job.make_optimizer(job.backbone, job.plan, job.head)
    found = {group["name"].partition("/")[0]: group["lr"] for group in optimizer.param_groups}
    words = [f"{name} {rate:.2g}" for name, rate in found.items()]
    kept = len(job.plan.indices("keep"))
    if kept:
        words.insert(0, f"{kept} of {len(job.plan.actions)} stages are kept")
    times = ", times what a range test finds" if lr_range.wanted(job.cfg) else ""
    return [green("learning rates", ", ".join(words) + times)]


def computed_once(job: Job) -> list[Finding]:
    """What the features of frozen stages take, or why there are none."""
    return [green("computed once", job.once.reason)]


def batch_norm(job: Job) -> list[Finding]:
    """Whether statistics of tiny batches are learned from."""
    batch = job.images.batch_size
    if batch >= SMALL_BATCH or not _learns_statistics(job):
        return []
    train = job.images.sizes["train"]
    found = f"batch norm of trained stages learns from batches of {batch} images"
    fix = f"loader.batch_size={2 * SMALL_BATCH} or more"
    if not job.plan.indices("reset"):
        fix += f", or keep the pretrained statistics: freeze.fixed_norm_below={train + 1}"
    return [yellow("batch norm", found, fix)]


def _learns_statistics(job: Job) -> bool:
    """Whether a stage with batch norm is in training mode once all that is trained has started."""
    backbone, mode = job.backbone, job.backbone.training
    backbone.freeze(job.plan.frozen(1.0))
    learns = any(isinstance(m, _BatchNorm) and m.training for m in backbone.train().modules())
    backbone.freeze(job.plan.frozen(0.0))
    backbone.train(mode)
    return learns
