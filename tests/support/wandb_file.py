"""Reads a `.wandb` file back: what an offline run will upload."""

import json
import struct
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import wandb
from wandb.proto import wandb_internal_pb2

BLOCK, HEADER = 32768, 7
FULL, FIRST, MIDDLE, LAST = 1, 2, 3, 4


def read(folder: Path) -> dict[str, Any]:
    """Run record, config, history rows, last summary and exit code of the one run in a folder.

    `finish` returns a moment before W&B's own process has written the file. Of a run of this
    process we ask that one to end, which it does once all is written.
    """
    [path] = folder.glob("wandb/offline-run-*/*.wandb")
    found = _content(path)
    if found["exit_code"] is None:
        wandb.teardown()
        found = _content(path)
    return found


def _content(path: Path) -> dict[str, Any]:
    found: dict[str, Any] = {"history": [], "summary": {}, "exit_code": None, "config": {}}
    found["axes"] = {}  # metric → the metric on its x axis
    for data in _records(path.read_bytes()):
        record = wandb_internal_pb2.Record()
        record.ParseFromString(data)
        kind = record.WhichOneof("record_type")
        if kind == "run":
            found["run"] = record.run
            found["config"].update(_items(record.run.config.update))
        elif kind == "config":
            found["config"].update(_items(record.config.update))
        elif kind == "history":
            found["history"].append(_items(record.history.item))
        elif kind == "summary":
            found["summary"].update(_items(record.summary.update))
        elif kind == "metric":
            name = record.metric.name or record.metric.glob_name
            found["axes"][name] = record.metric.step_metric
        elif kind == "exit":
            found["exit_code"] = record.exit.exit_code
    return found


def _records(content: bytes) -> Iterator[bytes]:
    """The records of LevelDB's log format, behind W&B's own header of seven bytes."""
    assert content[:4] in (b":W&B", b"")
    position, parts = HEADER, b""
    while position + HEADER <= len(content):
        left = BLOCK - position % BLOCK
        if left < HEADER:  # the end of a block that is too short for a header is padding
            position += left
            continue
        _, length, kind = struct.unpack("<IHB", content[position : position + HEADER])
        if position + HEADER + length > len(content):  # still being written
            return
        parts += content[position + HEADER : position + HEADER + length]
        position += HEADER + length
        if kind in (FULL, LAST):
            yield parts
            parts = b""


def _items(items: Any) -> dict[str, Any]:
    return {"/".join(i.nested_key) or i.key: json.loads(i.value_json) for i in items}
