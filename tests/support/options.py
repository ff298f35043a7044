"""The shipped options of a config group, and what lets each train two steps on few images."""

from runs import TINY

from regraft.paths import conf_folder

TWO_STEPS = (*TINY, "trainer.limit_train_batches=2")
# Of one group each: whatever is chosen of the others, they train.
FREE = ("augment", "balance", "callbacks", "head", "logger", "optimizer", "scheduler", "trainer")
# What an option cannot do without, or without a network.
NEEDS = {
    "freeze/custom": ["freeze.actions=[keep,tune,tune,tune,tune]"],
    "backbone/inception_v3": ["backbone.size=96"],
    "backbone/timm": ["backbone.name=test_resnet"],
    "pretrain/layerwise": ["backbone=sigmoid_mlp", "strategy=finetune"],
    "pretrain/rbm": ["backbone=sigmoid_mlp", "strategy=finetune"],
    "preset/birds": ["backbone.weights=random", "data.root={stripes}"],
    "preset/pretrain_fractals": [f"data.{name}=4" for name in ("classes", "train", "val", "test")],
    "preset/emotions": ["backbone.weights=random", "data=image_folder", "data.root={stripes}"],
}


OWN_DATA = ("quadrant", "pretrain_fractals")  # groups and options that bring some


def of(group: str) -> list[str]:
    """The options of a group, as words."""
    return sorted(path.stem for path in (conf_folder() / group).glob("*.yaml"))


def words(group: str, option: str) -> list[str]:
    """The option, with what it needs."""
    more = NEEDS.get(f"{group}/{option}", [])
    if group == "backbone" and option != "fractal_resnet":
        more = [*more, "backbone.weights=random"]
    return [f"{group}={option}", *more]


def columns() -> list[list[str]]:
    """As few jobs as have every option of the groups in FREE and of freeze in one of them."""
    groups = {group: of(group) for group in (*FREE, "freeze")}
    count = max(map(len, groups.values()))
    return [
        [word for g, names in groups.items() for word in words(g, names[number % len(names)])]
        for number in range(count)
    ]
