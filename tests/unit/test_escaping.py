import csv
import io

import pytest
from hypothesis import given
from hypothesis import strategies as st
from rich.console import Console
from rich.text import Text

from regraft.escaping import from_csv, in_csv, in_markdown, printable
from regraft.jobs import first_columns


@given(st.text())
def test_a_name_comes_back_from_csv_and_never_begins_a_formula(text):
    written = io.StringIO()
    csv.writer(written).writerow(["test", in_csv(text), "a", "b", "0.5"])
    [line] = written.getvalue().splitlines()  # whatever is in the name, it is one row
    [row] = csv.reader(first_columns(iter([line])))
    assert from_csv(row[1]) == text
    assert not row[1].startswith(("=", "+", "-", "@", "\t", "\r"))
    assert row[1].isprintable()


@pytest.mark.parametrize("text", ["cat", "class 10", "ärger", "a/b.png", "x=1", "l'été", "7-8"])
def test_ordinary_names_are_written_as_they_are(text):
    assert in_csv(text) == text


def test_what_came_in_quotes_comes_back():
    assert from_csv(in_csv("'quoted'")) == "'quoted'"


def test_markdown_shows_a_name_and_does_not_obey_it():
    assert in_markdown("a|b\n<img src=x>") == r"a\|b \<img src=x\>"
    assert in_markdown("[x](http://y) `z`") == r"\[x\](http://y) \`z\`"


def test_a_terminal_is_told_nothing():
    assert printable("a\x1b]0;title\x07b\u202ec\r\n") == "a ]0;title b c"
    console = Console(file=io.StringIO(), force_terminal=True)
    console.print(Text(printable("[red]a[/red]\x1b[2J")))
    assert console.file.getvalue() == "[red]a[/red] [2J\n"
