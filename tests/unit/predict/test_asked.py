"""Which images are asked about, and in which order."""

import inspect
import io
import os
import sys

import pytest

from regraft.errors import RegraftError
from regraft.predict import asked


@pytest.fixture(autouse=True)
def here(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    return tmp_path


def put(path, content=b"x"):
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_bytes(content)


def names(*arguments, path_column="path"):
    return [image.name for image in asked.images(arguments, path_column=path_column)]


def one_line(*arguments, **options):
    with pytest.raises(RegraftError) as error:
        names(*arguments, **options)
    assert len(str(error.value).splitlines()) == 1
    return str(error.value)


def test_a_folder_is_read_in_natural_order_with_those_below_it(here):
    for name in ("10.png", "9.png", "B.JPG", "a/2.png", "a/b/1.png", "c.jpg", "notes.txt"):
        put(here / "photos" / name)
    inside = ("9.png", "10.png", "a/2.png", "a/b/1.png", "B.JPG", "c.jpg")
    assert names("photos") == [f"photos/{name}" for name in inside]
    assert names(str(here / "photos"))[0] == str(here / "photos" / "9.png")


def test_what_is_hidden_or_left_by_a_program_is_passed_over(here):
    for name in (".hidden.png", ".trash/a.png", "__MACOSX/a.png", "@eaDir/b.png", "a.png"):
        put(here / "photos" / name)
    assert names("photos") == ["photos/a.png"]
    assert names("photos/.hidden.png") == ["photos/.hidden.png"]  # which somebody asks for


def test_links_lead_to_images_and_never_in_a_circle(here):
    put(here / "photos" / "a.png")
    put(here / "elsewhere" / "b.png")
    (here / "photos" / "back").symlink_to(here / "photos")
    (here / "photos" / "itself").symlink_to(here / "photos" / "itself")
    (here / "photos" / "else").symlink_to(here / "elsewhere")
    (here / "photos" / "again").symlink_to(here / "elsewhere")
    assert names("photos") == ["photos/a.png", "photos/again/b.png"]


def test_folders_may_be_deeper_than_the_stack(here):
    at = here / "deep"
    at.mkdir()
    for _ in range(150):
        at /= "d"
        at.mkdir()
    put(at / "a.png")
    before = sys.getrecursionlimit()
    sys.setrecursionlimit(len(inspect.stack()) + 100)
    try:
        found = names("deep")
    finally:
        sys.setrecursionlimit(before)
    assert found == ["deep/" + "d/" * 150 + "a.png"]


@pytest.mark.skipif(os.geteuid() == 0, reason="root may read every folder")
def test_a_folder_that_may_not_be_read_is_listed_and_the_others_go_on(here):
    put(here / "photos" / "locked" / "a.png")
    put(here / "photos" / "z.png")
    (here / "photos" / "locked").chmod(0)
    try:
        found = list(asked.images(["photos"], path_column="path"))
    finally:
        (here / "photos" / "locked").chmod(0o700)
    assert [image.name for image in found] == ["photos/locked", "photos/z.png"]
    assert "Permission denied" in found[0].problem


def test_arguments_keep_their_order_and_may_be_given_twice(here):
    for name in ("a.png", "photos/b.png"):
        put(here / name)
    given = names("photos", "a.png", "photos/b.png", "a.png")
    assert given == ["photos/b.png", "a.png", "photos/b.png", "a.png"]


def test_a_glob_is_the_shells_in_natural_order(here):
    for name in ("x10.png", "x9.png", "y.png", "sub/x1.png", "[1].png"):
        put(here / name)
    assert names("x*.png") == ["x9.png", "x10.png"]
    assert names("**/x1.png") == ["sub/x1.png"]
    assert names("su*") == ["sub/x1.png"]
    assert names("[1].png") == ["[1].png"]  # a file of that name
    assert one_line("z*.png") == "z*.png: no file is called like that"


def test_a_file_is_asked_for_whatever_it_is_called(here):
    put(here / "scan")
    assert names("scan") == ["scan"]


def test_what_is_not_there_is_an_error_before_the_first_image(here):
    put(here / "photos" / "a.png")
    images = pytest.raises(RegraftError, match="did you mean 'photos'")
    with images:
        asked.images(["photos", "fotos"], path_column="path")
    assert one_line("x" * 5000).endswith("File name too long")


@pytest.mark.parametrize("form", ["csv", "tsv", "parquet"])
def test_a_table_names_images_from_its_folder_on(form, here):
    rows = ["b.png", "", "sub/a.png", str(here / "abs.png")]
    at = here / "list" / f"t.{form}"
    at.parent.mkdir()
    if form == "parquet":
        arrow = pytest.importorskip("pyarrow")
        from pyarrow import parquet

        parquet.write_table(arrow.table({"label": [1, 2, 3, 4], "path": rows}), at)
    else:
        comma = "," if form == "csv" else "\t"
        at.write_text("\n".join([f"label{comma}path", *(f"1{comma}{row}" for row in rows)]) + "\n")
    found = list(asked.images([f"list/t.{form}"], path_column="path"))
    assert [image.name for image in found] == rows
    assert [image.path for image in found if not image.problem] == [
        at.parent.relative_to(here) / "b.png",
        at.parent.relative_to(here) / "sub" / "a.png",
        here / "abs.png",
    ]
    assert found[1].problem == "the path is empty"


def test_a_table_of_windows_names_images_with_backslashes(here):
    put(here / "in" / "x.png")
    put(here / "a.csv", "sep=;\r\npath;label\r\nin\\x.png;1\r\n".encode("utf-16"))
    [found] = asked.images(["a.csv"], path_column="path")
    assert found.name == "in\\x.png"
    assert found.path.is_file()


def test_a_wrong_table_is_an_error_before_the_first_image(here):
    put(here / "a.csv", b"file,label\nx.png,1\n")
    put(here / "b.csv", b"path,label\nx.png,1\n\xff,1\n")
    assert "has no column 'path', only 'file', 'label'" in one_line("a.csv")
    assert one_line("a.csv", path_column="fil").endswith("did you mean 'file'?")
    assert names("a.csv", path_column="file") == ["x.png"]
    assert "not in UTF-8" in one_line("b.csv")


@pytest.mark.parametrize("end", [b"\n", b"\r\n", b"\0"])
def test_a_list_on_standard_input(end, monkeypatch):
    lines = ["a b.png", "é.png", "c.png"] + ["two\nlines.png"] * (end == b"\0")
    stream = io.TextIOWrapper(io.BufferedReader(io.BytesIO(end.join(map(os.fsencode, lines)))))
    monkeypatch.setattr("sys.stdin", stream)
    assert names("-") == lines


def test_a_name_that_is_no_text_is_escaped_and_its_file_is_found(here):
    raw = os.fsencode(here) + b"/photos/caf\xe9.png"
    (here / "photos").mkdir()
    try:
        os.close(os.open(raw, os.O_CREAT))
    except OSError:
        pytest.skip("this file system has names in UTF-8 only")
    [image] = asked.images(["photos"], path_column="path")
    assert image.name == "photos/caf\\udce9.png"
    assert image.path.exists()
