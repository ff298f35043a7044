"""What people type who come from other tools, as the words that say it here."""

import re
from collections.abc import Callable
from importlib.util import find_spec
from pathlib import Path

from regraft.paths import conf_folder

OFF = {"", "0", "false", "no", "none", "null", "off"}
ON = {"1", "true", "yes", "on", "default"}

# Ours, with the value in the place of {}; and what others call it.
SETTINGS = {
    "trainer.max_epochs={}": "epochs epoch n_epochs num_epochs max_epochs max_epoch total_epochs "
    "num_train_epochs",
    "optimizer.lr={}": "lr lr0 base_lr init_lr max_lr lr_max learning_rate",
    "optimizer.weight_decay={}": "wd weight_decay l2",
    "loader.batch_size={}": "b bs batch batch_size batchsize train_batch_size "
    "per_device_train_batch_size",
    "loader.workers={}": "j nw workers num_workers n_workers dataloader_num_workers",
    "backbone.size={}": "sz img imgsz img_size imgsize image_size input_size crop_size resolution",
    "head.dropout={}": "drop dropout drop_rate dropout_rate",
    "callbacks=early_stopping callbacks.early_stopping.patience={}": "patience "
    "early_stopping_patience",
    "trainer.accumulate_grad_batches={}": "accumulate accum_iter accum_steps grad_accum "
    "grad_accum_steps gradient_accumulation_steps",
    "trainer.gradient_clip_val={}": "clip clip_grad grad_clip max_grad_norm",
    "seed={}": "random_seed random_state manual_seed",
    "hydra.run.dir={}": "o out outdir out_dir output output_folder save_dir logdir log_dir run_dir",
    "optimizer={}": "opt optim",
    "scheduler={}": "sched schedule lr_scheduler",
}
# Ours to switch a thing on and off, which may be no word, and what others call it.
SWITCHES = {
    ("trainer=mixed", "trainer=default"): "amp use_amp autocast fp16 bf16 half mixed_precision",
    ("debug=fast", ""): "fast_dev_run dry_run smoke_test",
    ("callbacks=early_stopping", "callbacks=default"): "early_stopping early_stop",
    ("callbacks=ema", "callbacks=default"): "ema model_ema use_ema",
    ("augment=mixup", "augment=none"): "mixup cutmix",
    ("balance=weights", "balance=none"): "class_weight class_weights weighted_loss",
    ("strategy=feature_extraction", "strategy=finetune"): "freeze_backbone freeze_encoder frozen",
}
PRECISIONS = {"16": "16-mixed", "fp16": "16-mixed", "half": "16-mixed", "bf16": "bf16-mixed"}
DEVICES = {"cuda": "gpu", "gpu": "gpu", "cpu": "cpu", "mps": "mps"}
TABLES = (".csv", ".tsv", ".parquet")


def here(name: str, value: str = "") -> str | None:
    """The words for another tool's setting, such as `trainer.max_epochs=10`; None if it is unknown.

    >>> here("epochs", "10"), here("model.arch", "resnet50"), here("fp16", "true"), here("hidden")
    ('trainer.max_epochs=10', 'backbone=resnet50', 'trainer=mixed', None)
    """
    said = _SAID.get(name.strip("+-").rpartition(".")[2].replace("-", "_").lower())
    return (said(value) or None) if said else None


def hint(word: str | None) -> str:
    """The end of an error about a word that another tool would take, such as epochs=10."""
    key, _, value = (word or "").partition("=")
    words = here(key, value)
    return f"; did you mean '{words}'?" if words else ""


def data(value: str) -> str | None:
    """The words for data that are given as a folder or a table; None for what looks like neither.

    >>> data("pets/train"), data("pets.csv"), data("pets")
    ('data=image_folder data.root=pets/train', 'data=manifest data.path=pets.csv', None)
    """
    if value.endswith(TABLES):
        return f"data=manifest data.path={value}"
    if re.search(r"[/\\~]|^\.", value) or (value and Path(value).is_dir()):
        return f"data=image_folder data.root={value}"
    return None


def backbone(value: str) -> str | None:
    """The words for a network by its name: an option, or one of timm's; None for what is neither.

    >>> backbone("resnet50"), backbone("resnet34.a1_in1k"), backbone("resnt50")
    ('backbone=resnet50', 'backbone=timm backbone.name=resnet34.a1_in1k', None)
    """
    if value in _options("backbone"):
        return f"backbone={value}"
    return f"backbone=timm backbone.name={value}" if _is_timms(value) else None


def _is_timms(name: str) -> bool:
    """Whether timm has a network of this name, by its source, as to import it takes seconds."""
    spec, architecture = find_spec("timm"), name.partition(".")[0]
    if spec is None or spec.origin is None or not architecture.isidentifier():
        return False
    entrypoint = f"\ndef {architecture}(pretrained"
    files = Path(spec.origin).parent.glob("models/*.py")
    return any(entrypoint in file.read_text(encoding="utf-8") for file in files)


def _options(group: str) -> list[str]:
    return sorted(file.stem for file in (conf_folder() / group).glob("*.yaml"))


def _setting(ours: str) -> Callable[[str], str]:
    return lambda value: ours.format(value or "<value>")


def _switch(on: str, off: str) -> Callable[[str], str]:
    return lambda value: on if not value or value.lower() not in OFF else off


def _data(value: str) -> str:
    option = value if value in _options("data") else None
    return f"data={option}" if option else data(value) or f"data=image_folder data.root={value}"


def _model(value: str) -> str:
    return backbone(value) or "backbone=<option>"


def _augmentation(value: str) -> str:
    known = value in _options("augment")
    return f"augment={value}" if known else _switch("augment=light", "augment=none")(value)


def _weights(value: str) -> str:
    if not value or value.lower() in ON or re.match("imagenet|pretrained", value, re.IGNORECASE):
        return "backbone.weights=pretrained"
    return f"backbone.weights={'random' if value.lower() in OFF else value}"


def _devices(value: str) -> str:
    if value.lower() in OFF:
        return "trainer.accelerator=cpu"
    if value in ("-1", "all", "auto"):
        return "trainer.devices=auto"
    return f"trainer.devices={f'[{value}]' if ',' in value else value}"


def _device(value: str) -> str:
    kind, _, number = value.lower().partition(":")
    ours = f"trainer.accelerator={DEVICES.get(kind, 'auto')}"
    return f"{ours} trainer.devices=[{number}]" if number.isdecimal() else ours


def _precision(value: str) -> str:
    return f"trainer.precision={PRECISIONS.get(value.lower(), '32-true')}"


# For what needs more than a place for the value.
_OTHERS: dict[Callable[[str], str], str] = {
    _data: "data_dir data_path data_root dataset dataset_dir train_dir root path images image_dir",
    _model: "model model_name arch architecture net network encoder",
    _augmentation: "aug augmentation augmentations augment transforms",
    _weights: "weights pretrained checkpoint ckpt checkpoint_path initial_checkpoint",
    _devices: "gpu gpus devices ngpu ngpus num_gpus n_gpus num_devices",
    _device: "device accelerator",
    _precision: "precision",
}
_SAID: dict[str, Callable[[str], str]] = {
    name: said
    for table in (
        {_setting(ours): names for ours, names in SETTINGS.items()},
        {_switch(*ours): names for ours, names in SWITCHES.items()},
        _OTHERS,
    )
    for said, names in table.items()
    for name in names.split()
}
