"""Standard streams as shells, pipes, notebooks and other systems leave them."""

import ast
import io
import json
import os
import sys
from pathlib import Path

import pytest
from rich.console import Console
from rich.progress_bar import ProgressBar
from rich.spinner import Spinner
from rich.table import Table

from regraft import terminal
from regraft.doctor.findings import green, show

SAID = "2×2 → 0.5 ± 0.1 … 3–4 · Café 日 \udcff"


@pytest.fixture
def steady(monkeypatch):
    """`steady(encoding)`: standard output as `prepare` makes it, and what is read at its end."""
    ends = []

    def made(encoding):
        ours, theirs = os.pipe()
        with os.fdopen(theirs, "w", encoding=encoding, closefd=False) as stream:
            monkeypatch.setattr("sys.stdout", stream)
            monkeypatch.setattr("sys.stderr", io.StringIO())
            terminal.prepare()
        ends.extend((ours, theirs))
        return sys.stdout, ours

    yield made
    for end in ends:
        os.close(end)


def read(end):
    sys.stdout.flush()
    return os.read(end, 10_000)


@pytest.mark.parametrize(
    ("encoding", "text"),
    [
        ("ascii", b"2x2 -> 0.5 +- 0.1 ... 3-4 | Cafe \\u65e5 \\udcff\n"),
        ("cp1252", "2×2 -> 0.5 ± 0.1 … 3–4 · Café \\u65e5 \\udcff\n".encode("cp1252")),
        ("utf-8", "2×2 → 0.5 ± 0.1 … 3–4 · Café 日 \\udcff\n".encode()),
    ],
)
def test_what_a_stream_cannot_take_is_written_otherwise(encoding, text, steady):
    _, end = steady(encoding)
    print(SAID)
    assert read(end) == text


def test_whoever_had_the_stream_before_can_write_to_it_too(monkeypatch):
    ours, theirs = os.pipe()
    before = os.fdopen(theirs, "w", encoding="ascii")
    monkeypatch.setattr("sys.stdout", before)
    terminal.prepare()
    once = sys.stdout
    terminal.prepare()
    assert sys.stdout is once  # a launcher's process asks again
    before.write("→")
    before.flush()
    assert os.read(ours, 10) == b"->"
    before.close()
    os.close(ours)


def test_escapes_are_those_of_json():
    for text in ("ä", "日", "😀"):
        escaped, _ = terminal.in_ascii(UnicodeEncodeError("ascii", text, 0, len(text), ""))
        assert json.loads(f'"{escaped}"') == text


def test_tables_of_the_program_are_drawn_in_ascii(steady, monkeypatch):
    stream, end = steady("ascii")
    console = Console(file=stream, width=60, force_terminal=True, no_color=True)
    table = Table("a", "b")
    table.add_row("×", "…")
    console.print(table)
    console.print(Spinner("dots", "looking"), ProgressBar(9, 5))
    with console.status("looking"):
        show([green("W&B", "2×2 → ± …")], console, 1)
    said = read(end).decode("ascii")
    assert "2x2 -> +- ..." in said
    assert "\\u" not in said


def test_a_pipe_that_nobody_reads_ends_nothing(monkeypatch):
    ours, theirs = os.pipe()
    with os.fdopen(theirs, "w", encoding="utf-8") as stream:
        monkeypatch.setattr("sys.stdout", stream)
        terminal.prepare()
        os.close(ours)
        for _ in range(3):
            print("more " * 10_000, flush=True)
        Console().print("and more")
        stream.write("and of those who had it before")
        stream.flush()


@pytest.mark.skipif(not Path("/dev/full").exists(), reason="a disk that is full, of Linux")
def test_a_full_disk_ends_nothing(monkeypatch):
    with open("/dev/full", "w", encoding="utf-8") as stream:  # noqa: PTH123
        monkeypatch.setattr("sys.stdout", stream)
        terminal.prepare()
        print("more", flush=True)
        print("more", flush=True)


def test_a_notebooks_backend_is_not_ours(monkeypatch):
    monkeypatch.setenv("MPLBACKEND", "module://matplotlib_inline.backend_inline")
    terminal.prepare()
    assert os.environ["MPLBACKEND"] == "agg"


def test_text_is_read_and_written_as_utf_8(repository):
    """Whatever the locale: of LC_ALL=C and of Windows it is another."""
    bare = []
    for file in sorted((repository / "src").rglob("*.py")):
        for node in ast.walk(ast.parse(file.read_text(encoding="utf-8"))):
            if isinstance(node, ast.Call) and _depends_on_the_locale(node):
                bare.append(f"{file.name}:{node.lineno}")
    assert bare == []


def _depends_on_the_locale(call):
    name = getattr(call.func, "attr", getattr(call.func, "id", ""))
    if any(keyword.arg == "encoding" for keyword in call.keywords):
        return False
    if name in ("read_text", "write_text"):
        return not call.args[name == "write_text" :]
    modes = [arg.value for arg in call.args if isinstance(arg, ast.Constant)]
    text = [mode for mode in modes if mode in ("r", "w", "a", "x", "r+", "w+")]
    return name in ("open", "fdopen") and bool(text)
