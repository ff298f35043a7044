import re

import pytest

from regraft.validate.files import faults, keys, misplaced

OVERLAYS = {"preset", "strategy", "sweep"}
TOP = "# @package _global_\n"


def found(tmp_path, config, text):
    file = tmp_path / f"{config}.yaml"
    file.parent.mkdir(parents=True, exist_ok=True)
    file.write_bytes(text.encode() if isinstance(text, str) else text)
    return [(fault.line, fault.text) for fault in faults(file, config, OVERLAYS)]


def test_keys_are_dotted_and_have_lines(tmp_path):
    file = tmp_path / "x.yaml"
    file.write_text("# c\na:\n  b: 3\n  c: [x, {d: 1}]\ndefaults:\n  - override /head: mlp\n")
    assert keys(file) == {
        "a": 2,
        "a.b": 3,
        "a.c": 4,
        "a.c.0": 4,
        "a.c.1": 4,
        "a.c.1.d": 4,
        "defaults": 5,
        "defaults.0": 6,
        "defaults.0.override /head": 6,
    }


@pytest.mark.parametrize(
    ("config", "text"),
    [
        ("head/x", "# A head.\n_target_: regraft.head.mlp\n"),
        ("head/x", ""),
        ("head/x", "# Only a comment.\n"),
        ("preset/x", f"{TOP}# A preset.\ntrainer:\n  max_epochs: 3\n"),
        ("preset/x", f"\n{TOP}# Hydra passes over empty lines.\n"),
        ("data/x", f"{TOP}# Data that set other keys too.\ndata:\n  a: 1\n"),
        ("sweep/x", f"{TOP}# c\ndefaults:\n  - override /hydra/launcher: joblib\n"),
    ],
)
def test_a_right_file_has_no_fault(tmp_path, config, text):
    assert found(tmp_path, config, text) == []


@pytest.mark.parametrize(
    ("config", "text", "line", "said"),
    [
        ("head/x", "a: 1\nb: }\n", 2, "no YAML: .*found '}'"),
        ("head/x", "a:\n\tb: 1\n", 2, "no YAML: .*cannot start any token"),
        ("head/x", "a: 1\na: 2\n", 2, "found duplicate key a"),
        ("head/x", b"a: 1\nb: caf\xe9\n", 1, "no UTF-8 text"),
        ("head/x", "a: 1\nb: \x07\n", 2, "no YAML: special characters"),
        ("head/x", "- a\n", 1, "must hold keys and values"),
        ("head/x", "a: 1\nb: ${c\n", 2, "."),
        ("preset/x", "# A preset.\n# @package _global_\na: 1\n", 2, "first line only; move it"),
        ("preset/x", "# A preset.\na: 1\n", 1, "must be '# @package _global_': .* under preset"),
        ("head/x", "# c\n# @package _global_\na: 1\n", 2, "first line only; move it"),
        ("sweep/x", f"{TOP}# c\nhydra:\n  mode: MULTIRUN\n", 4, "type -m"),
        ("preset/x", f"{TOP}defaults:\n  - override /hydra/launcher: x\n", 3, "too late"),
        ("strategy/x", f"{TOP}hydra:\n  launcher:\n    n_jobs: 2\n", 3, "too late"),
    ],
)
def test_a_wrong_file_is_told_with_its_line(tmp_path, config, text, line, said):
    [(where, words)] = found(tmp_path, config, text)
    assert where == line
    assert re.search(said, words)
    assert "\n" not in words


def test_what_hydra_never_looks_at_is_told(tmp_path):
    for name in ("heads/a.yaml", "head/b.yml", "head/c.yaml", "notes/d.txt", "hydra/e/f.yaml"):
        (tmp_path / name).parent.mkdir(parents=True, exist_ok=True)
        (tmp_path / name).write_text("a: 1\n")
    wrong = {fault.file.name: fault.text for fault in misplaced(tmp_path, ["head", "data"])}
    assert set(wrong) == {"a.yaml", "b.yml"}
    assert wrong["a.yaml"] == "heads: no such group; did you mean 'head'?"
    assert "rename" in wrong["b.yml"]
