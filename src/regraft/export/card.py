"""README.md of an exported folder: a model card, as the Hugging Face hub shows them."""

import math
from typing import Any

from huggingface_hub import EvalResult, ModelCardData

from regraft.escaping import in_markdown, printable
from regraft.export import snippets
from regraft.export.parity import BATCHES, TOLERANCE
from regraft.jobs import CALLED, judge

SHOWN = 30  # classes; regraft.json has all
# Identifiers of the hub; any other licence is `other`, with its name.
LICENCES = (
    *("apache-2.0", "mit", "bsd", "bsd-2-clause", "bsd-3-clause", "isc", "cc0-1.0", "cc-by-4.0"),
    *("cc-by-sa-4.0", "cc-by-nc-4.0", "cc-by-nc-sa-4.0", "unlicense", "openrail", "gpl-3.0"),
)
LIBRARIES = {"onnx": "onnx", "timm": "timm", "torch_export": "pytorch", "safetensors": "regraft"}
METRICS = {
    "acc": "accuracy",
    "macro_f1": "macro F1",
    "loss": "log loss",
    "ece": "calibration error (ECE)",
    "ece_uncalibrated": "calibration error (ECE), before calibration",
}


def text(told: dict[str, Any], name: str) -> str:
    """The card of a folder of this name, from what its regraft.json says."""
    parts = [
        f"---\n{metadata(told, name)}\n---",
        f"# {in_markdown(name)}",
        about(told),
        "## Results",
        results(told),
        "## How sure it may be",
        certainty(told),
        "## Use it",
        snippets.text(told, name),
        "## What it takes and gives",
        contract(told),
        "## Limits",
        limits(told),
        "## Where it comes from",
        origin(told),
    ]
    return "\n\n".join(parts) + "\n"


def metadata(told: dict[str, Any], name: str) -> str:
    """The YAML in front, from which the hub makes its index."""
    weights, data = told["weights"] or {}, told["data"]
    licence = (weights.get("license") or "").lower()
    base = weights.get("source") if is_of_hub(told) else None
    split = judge(told["data"])
    accuracy = told["metrics"].get(f"{split}/acc")
    dataset = printable(data["name"]) or "unknown"
    judged = [
        EvalResult(
            task_type="image-classification",
            dataset_type=dataset,
            dataset_name=dataset,
            dataset_split=CALLED[split],
            metric_type="accuracy",
            metric_value=accuracy,
        )
    ]
    return ModelCardData(
        license=(licence if licence in LICENCES else "other") if licence else None,
        license_name=licence if licence and licence not in LICENCES else None,
        library_name=LIBRARIES[told["format"]],
        pipeline_tag="image-classification",
        tags=["image-classification", "transfer-learning", "regraft", printable(told["backbone"])],
        base_model=base,
        metrics=["accuracy"],
        model_name=printable(name),
        eval_results=judged if accuracy is not None else None,
    ).to_yaml()


def is_of_hub(told: dict[str, Any]) -> bool:
    """Whether the pretrained weights were those of the hub's repository of that name."""
    return "/" in ((told["weights"] or {}).get("source") or "")


def about(told: dict[str, Any]) -> str:
    """What it is and what it was trained on, in a few sentences."""
    data, classes, choices = told["data"], told["classes"], told["choices"]
    names = ", ".join(in_markdown(name) for name in classes[:SHOWN])
    more = f" and {len(classes) - SHOWN} more (all in regraft.json)" if len(classes) > SHOWN else ""
    head = choices.get("head") or told["config"]["head"]["_target_"].rpartition(".")[2]
    how = f" with strategy={choices['strategy']}" if choices.get("strategy") else ""
    of = f" on {data['train']:,} images of {in_markdown(data['name'])}" if data.get("train") else ""
    return (
        f"An image classifier: {in_markdown(told['backbone'])} with a new head ({head}), trained "
        f"by regraft{how}{of}. It tells {len(classes)} classes apart: {names}{more}."
    )


def results(told: dict[str, Any]) -> str:
    """What was measured on the images that judge."""
    metrics, split = told["metrics"], judge(told["data"])
    images, of = told["data"].get(split), CALLED[split]
    rows = [
        f"| {words} | {metrics[f'{split}/{key}']:.4g} |"
        for key, words in METRICS.items()
        if metrics.get(f"{split}/{key}") is not None
    ]
    if not rows:
        return "It is not known how good it is: it was exported from a checkpoint alone."
    counted = f"{images:,} {of} images" if images else f"{of} images"
    how = f"Measured once, on {counted} of the same source, which neither trained it nor chose its"
    if split == "val":
        how = f"Measured on {counted} of the same source, which did not train it but chose its"
    return "\n".join(
        [
            f"{how} epoch:",
            "",
            f"| metric | {of} |",
            "|---|---|",
            *rows,
        ]
    )


def certainty(told: dict[str, Any]) -> str:
    """Temperature and threshold, and what they do."""
    temperature, threshold = (told["calibration"][key] for key in ("temperature", "threshold"))
    images = told["calibration"].get("images")
    of = f"{images:,} validation images" if images else "validation images"
    lines = [
        f"Divide the logits by the **temperature {temperature:.4g}** before the softmax: it was "
        f"fitted on the {of}, so that of the answers given with 90 % about 90 % are right, on "
        "images like those."
    ]
    if threshold is None:
        lines.append("There is no threshold: it says something of every image.")
        return " ".join(lines)
    wanted, kept = told["calibration"]["precision"], told["kept"].get(judge(told["data"]))
    lines.append(
        f"Below a **largest probability of {threshold:.4g}** say nothing: from there on, at "
        f"least {100 * wanted:.4g}% of the validation images were told right."
    )
    if kept and kept["precision"] is not None:
        lines.append(
            f"On the {CALLED[judge(told['data'])]} images that keeps {kept['coverage']:.1%}, of "
            f"which {kept['precision']:.1%} are right."
        )
    return " ".join(lines)


def contract(told: dict[str, Any]) -> str:
    """Input and output of the network itself."""
    seen = told["input"]
    height, width = seen["size"]
    edges = [math.floor(edge / seen["crop_pct"]) for edge in seen["size"]]
    fits = {
        "center": f"resized to {min(edges)} pixels on its shorter side and cropped to the middle",
        "squash": f"resized to {edges[1]}×{edges[0]} whatever its shape and cropped to the middle",
        "border": "resized to fit in and padded with the mean",
    }[seen["crop_mode"]]
    mean, std = (", ".join(f"{n:.4g}" for n in seen[key]) for key in ("mean", "std"))
    return "\n".join(
        [
            f"- **images**: float32 (batch, 3, {height}, {width}), any number of them. A picture "
            f"in RGB, turned as its EXIF tag says, is {fits} ({seen['interpolation']}); then each "
            f"channel is divided by 255, the mean ({mean}) subtracted, and divided by ({std}). "
            "The network does none of this itself.",
            f"- **logits**: float32 (batch, {len(told['classes'])}), in the order of `classes` in "
            "regraft.json; no softmax and no temperature in them.",
            f"- **checked**: read by {told['checked']['by']}, the logits of "
            f"{told['checked']['images']} photographs in batches of "
            f"{', '.join(map(str, BATCHES))} differ from those of the trained network by at most "
            f"{told['checked']['largest_difference']:.1g} ({TOLERANCE:g} is allowed, relative to "
            "logits above 1).",
        ]
    )


def limits(told: dict[str, Any]) -> str:
    """What one should not expect."""
    return (
        "It answers with one of its classes for every picture, also of something else entirely; "
        "the threshold is no detector of that. The numbers above hold for images from the same "
        "source, not for another camera, place or time. What may be done with it depends on the "
        "licence of the pretrained weights and on that of the images, which regraft does not know."
    )


def origin(told: dict[str, Any]) -> str:
    """Pretrained weights, versions and digests."""
    weights, versions = told["weights"], told["versions"]
    lines = []
    if weights:
        licence = in_markdown(weights.get("license") or "not known")
        lines.append(
            f"- pretrained weights: {in_markdown(weights['source'])}, licence {licence}, "
            f"SHA-256 `{weights['sha256']}`"
        )
    elif told["metrics"]:
        lines.append("- pretrained weights: none, it was trained from random ones")
    else:
        lines.append("- pretrained weights: not known")
    if versions:
        lines.append("- trained with " + ", ".join(f"{k} {v}" for k, v in versions.items()))
    lines += [f"- {name}: SHA-256 `{sha256}`" for name, sha256 in told["sha256"].items()]
    return "\n".join(lines)
