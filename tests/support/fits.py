"""Short trainings through Lightning alone, without a job around them, of any family and plan."""

from functools import partial

import families
import pytorch_lightning as pl
import torch
from pytorch_lightning.callbacks import ModelCheckpoint
from torch.utils.data import DataLoader, TensorDataset

from regraft import head, optim, plan
from regraft.classifier import Classifier

CLASSES = ("ant", "bee", "cat")
NORM = {"fixed_norm_below": 0}


def classifier(family, policy, *, seed=0, make_head=head.linear, classes=CLASSES):
    backbone = families.backbone(family, seed)
    made = policy(len(backbone.stages), 12)
    plan.graft(made, backbone)
    return Classifier(
        backbone,
        made,
        make_head(backbone.out_features, backbone.map_shape, len(classes)),
        partial(optim.sgd, lr=0.05, weight_decay=0.01, momentum=0.9, backbone_ratio=0.5),
        partial(optim.cosine, warmup=0.1),
        classes,
    )


def batches(model, count=12):
    generator = torch.Generator().manual_seed(0)
    images = torch.randn(count, 3, *model.backbone.input.size, generator=generator)
    return DataLoader(TensorDataset(images, torch.arange(count) % 3), batch_size=4)


def fit(model, folder, *, epochs=2, images=12, callbacks=(), gradient_clip_val=1.0, **options):
    trainer = pl.Trainer(
        max_epochs=epochs,
        callbacks=list(callbacks),
        enable_checkpointing=any(isinstance(c, ModelCheckpoint) for c in callbacks),
        logger=False,
        accelerator="cpu",
        enable_progress_bar=False,
        enable_model_summary=False,
        num_sanity_val_steps=0,
        default_root_dir=folder,
        gradient_clip_val=gradient_clip_val,
        **options,
    )
    trainer.fit(model, batches(model, images), batches(model, images))
    return trainer


def tensors(model, index):
    state = model.backbone.net.state_dict()
    names = model.backbone.stages[index].tensors
    return {name: state[name].clone() for name in names if name in state}


POLICIES = {
    "first": partial(plan.first, stages=2, above="tune", **NORM),
    "partial": partial(plan.first, stages=2, above="reset", **NORM),
    "all": plan.everything,
}


def moved(family, policy, folder, callbacks=()):
    """The plan, and by stage the names of the tensors that a fit has changed; those of the head."""
    model = classifier(family, policy)
    before = [tensors(model, index) for index in range(len(model.backbone.stages))]
    start = {name: p.detach().clone() for name, p in model.head.named_parameters()}
    fit(model, folder, callbacks=callbacks)
    changed = [
        sorted(
            name for name, now in tensors(model, index).items() if not torch.equal(now, old[name])
        )
        for index, old in enumerate(before)
    ]
    head = [name for name, p in model.head.named_parameters() if not torch.equal(p, start[name])]
    return model.plan, changed, head
