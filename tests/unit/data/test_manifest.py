import csv
import os
import unicodedata

import numpy as np
import pytest
from PIL import Image

from regraft.data.manifest import manifest
from regraft.errors import RegraftError


@pytest.fixture
def table(tmp_path):
    """Writes images and a table of them; gives the path of the table."""

    def write(rows, header=("path", "label"), *, name="birds.csv", skip=(), delimiter=","):
        for row in rows:
            path = tmp_path / row[0]
            if row[0] and row[0] not in skip:
                path.parent.mkdir(parents=True, exist_ok=True)
                Image.new("RGB", (4, 4)).save(path, format="PNG")
        with (tmp_path / name).open("w", newline="", encoding="utf-8") as file:
            csv.writer(file, delimiter=delimiter).writerows([header, *rows])
        return tmp_path / name

    return write


def load(path, **changes):
    columns = {"path_column": "path", "label_column": "label"}
    columns |= {"split_column": None, "group_column": None}
    choices = {"root": None, "val_fraction": 0.2, "test_fraction": 0.2, "split_seed": 0}
    choices |= {"per_class": None, "fold": None, "folds": 5, "fraction": None}
    choices |= {"on_error": "fail", "follow_links": False}
    return manifest(0, path=str(path), **(columns | choices | changes))


def one_line(path, **changes):
    with pytest.raises(RegraftError) as info:
        load(path, **changes)
    assert len(str(info.value).splitlines()) == 1
    return str(info.value)


def splits(source):
    return {"train": source.train, "val": source.val, "test": source.test}


ROWS = [
    (f"{label} {n}.png", label) for label in ("class 10", "class 2", "ärger") for n in range(10)
]


def test_rows_are_split_by_class_and_classes_are_in_natural_order(table):
    source = load(table(ROWS))
    assert source.name == "birds"
    assert source.classes == ("class 2", "class 10", "ärger")
    found = splits(source)
    for name, count in {"train": 6, "val": 2, "test": 2}.items():
        assert np.bincount(found[name].labels).tolist() == [count] * 3
        for path, label, image in zip(
            found[name].images, found[name].labels, found[name].names, strict=True
        ):
            assert path.is_file()
            assert path.name == image == f"{source.classes[label]} {image.split()[-1]}"
    assert len({name for split in found.values() for name in split.names}) == 30


def test_named_splits_are_taken_as_they_are_and_others_split_off(table):
    rows = [(f"{n}.png", "ab"[n % 2], "Train" if n < 20 else "validation") for n in range(30)]
    found = splits(load(table(rows, ("path", "label", "split"))))
    assert sorted(found["val"].names) == sorted(f"{n}.png" for n in range(20, 30))
    assert (len(found["train"]), len(found["test"])) == (16, 4)


def test_images_of_one_group_are_never_in_two_splits(table):
    rows = [(f"{n}.png", "ab"[n % 2], f"bird {n // 4}") for n in range(120)]
    source = load(table(rows, ("path", "label", "group")))
    groups = {
        name: {int(n.split(".")[0]) // 4 for n in s.names} for name, s in splits(source).items()
    }
    assert sum(map(len, groups.values())) == 30
    assert len(set.union(*groups.values())) == 30
    assert [len(split) for split in splits(source).values()] == pytest.approx([72, 24, 24], abs=8)
    again = load(table(rows, ("path", "label", "group"), name="again.csv"))
    assert again.test.names == source.test.names
    other = load(table(rows, ("path", "label", "group")), split_seed=1)
    assert other.test.names != source.test.names


def test_columns_may_have_other_names_and_paths_begin_elsewhere(table, tmp_path):
    rows = [(f"pictures/{n}.png", "ab"[n % 2]) for n in range(20)]
    path = table(rows, ("file", "species"))
    for row in rows:
        assert (tmp_path / row[0]).is_file()
    moved = path.rename(tmp_path / "pictures" / "list.csv")
    source = load(moved, root=str(tmp_path), path_column="file", label_column="species")
    assert len(source.train) == 12


def test_a_table_from_a_spreadsheet_has_a_mark_in_front_and_quotes_inside(table):
    path = table([(f"a, b {n}.png", 'say "x"' if n % 2 else "y") for n in range(20)])
    path.write_bytes(b"\xef\xbb\xbf" + path.read_bytes())
    assert load(path).classes == ('say "x"', "y")


@pytest.mark.parametrize("separator", [";", "\t"])
def test_fields_may_be_parted_otherwise(table, separator):
    rows = [(f"a, b {n}.png", "ab"[n % 2], f"g {n // 2}") for n in range(40)]
    header = ("label, of a person", "path", "group")
    path = table([(row[1], row[0], row[2]) for row in rows], header, delimiter=separator, skip="ab")
    table(rows, name="other.csv")
    source = load(path, label_column="label, of a person")
    assert source.classes == ("a", "b")
    assert source.train.names[0].startswith("a, b ")
    names = "'label, of a person', 'path', 'group'"
    assert f"no column 'file', only {names}" in one_line(path, path_column="file")


def test_parquet_is_the_same(table, tmp_path):
    pyarrow = pytest.importorskip("pyarrow")
    from pyarrow import parquet

    as_csv = load(table(ROWS))
    columns = {"path": [row[0] for row in ROWS], "label": [row[1] for row in ROWS]}
    parquet.write_table(pyarrow.table(columns), tmp_path / "birds.parquet")
    as_parquet = load(tmp_path / "birds.parquet")
    assert as_parquet.classes == as_csv.classes
    assert as_parquet.test.names == as_csv.test.names


def test_numbers_as_labels_are_names(table, tmp_path):
    pyarrow = pytest.importorskip("pyarrow")
    from pyarrow import parquet

    table([(f"{n}.png", n % 2) for n in range(20)])
    columns = {"path": [f"{n}.png" for n in range(20)], "label": [n % 2 for n in range(20)]}
    parquet.write_table(pyarrow.table(columns), tmp_path / "n.parquet")
    assert load(tmp_path / "n.parquet").classes == ("0", "1")


def test_a_table_that_grew_is_read_again(table):
    before = len(load(table(ROWS)).train)
    assert (
        len(load(table([*ROWS, *((f"new {n}.png", "class 2") for n in range(10))])).train) > before
    )


def test_the_table_must_be_there_and_hold_rows(table, tmp_path):
    assert "there is no such file" in one_line(tmp_path / "gone.csv")
    assert "has no rows" in one_line(table([]))
    assert "no such folder" in one_line(table(ROWS), root=str(tmp_path / "gone"))
    (tmp_path / "b.parquet").write_bytes(b"no parquet")
    assert "cannot be read as Parquet" in one_line(tmp_path / "b.parquet")
    (tmp_path / "other.csv").write_bytes("path,label\nä.png,x\n".encode("cp1252"))
    assert one_line(tmp_path / "other.csv").endswith("is not in UTF-8; save it as CSV UTF-8")


def test_a_missing_column_is_named_with_the_nearest(table):
    assert "no column 'label', only 'path', 'labels'; add data.label_column=labels" in one_line(
        table(ROWS, ("path", "labels"))
    )
    assert "add data.path_column=<column>" in one_line(table(ROWS, ("x", "label")))
    path = table([(*row, "", "") for row in ROWS], ("path", "label", "split", "group"))
    for key, wrong in (("split", "splt"), ("group", "grp")):
        message = one_line(path, **{f"{key}_column": wrong})
        assert f"no column '{wrong}'" in message
        assert message.endswith(f"add data.{key}_column={key}")
    assert "no column ''" in one_line(path, label_column="")


def test_how_images_were_split_is_logged(table, caplog):
    caplog.set_level("INFO")
    rows = [(f"{n}.png", "ab"[n % 2], "train", f"g{n // 4}") for n in range(80)]
    header = ("path", "label", "split", "group")
    load(table([*rows, ("v.png", "a", "val", "")], header))
    assert "train is 'train', val is 'val' as column 'split' says" in caplog.text
    assert "16 images for test split off train by class and group (split_seed=0)" in caplog.text
    caplog.clear()
    load(table(ROWS))
    assert "it names no splits" in caplog.text
    assert "6 images for val and 6 images for test split off train by class (" in caplog.text


def test_groups_can_be_ignored_and_are_missed_where_the_column_is_empty(table, caplog):
    rows = [(f"{n}.png", "ab"[n % 2], "all in one") for n in range(20)]
    assert "group" in one_line(path := table(rows, ("path", "label", "group")))
    assert len(load(path, group_column="").train) == 12
    assert not caplog.messages
    load(table([(*row[:2], "") for row in rows], ("path", "label", "group"), name="empty.csv"))
    assert "the group column 'group' is empty in every row" in caplog.text


def test_a_detour_that_comes_back_is_the_straight_path(table, tmp_path):
    path = table([("new.png", "class 2"), *ROWS])
    lines = path.read_text(encoding="utf-8").replace("new.png", f"x/../../{tmp_path.name}/new.png")
    path.write_text(lines, encoding="utf-8")
    found = splits(load(path))
    assert "new.png" in {name for split in found.values() for name in split.names}
    path.write_text(lines + "new.png,class 10\n", encoding="utf-8")
    assert "rows 1 and 32: 'new.png' is listed twice" in one_line(path)


def test_what_is_said_of_a_path_that_leads_out_can_be_followed(table, tmp_path):
    path = table([(f"images/{n}.png", "ab"[n % 2]) for n in range(20)])
    moved = tmp_path / "lists" / "list.csv"
    moved.parent.mkdir()
    moved.write_text(path.read_text().replace("images/", "../images/"))
    message = one_line(moved)
    root = tmp_path / "images"
    assert message.endswith(
        f"write all paths without '..', from {root} on, and set data.root={root}"
    )
    moved.write_text(path.read_text().replace("images/", ""))
    assert len(load(moved, root=str(root)).train) == 12


@pytest.mark.parametrize(
    ("row", "message"),
    [
        (("", "class 2"), "row 31: the path is empty"),
        (("new.png", " "), "row 31: the label is empty"),
        (("class 2 1.png", "class 10"), "rows 12 and 31: 'class 2 1.png' is listed twice"),
        (("../out.png", "class 2"), "row 31: '../out.png' leads out of"),
        (("/etc/out.png", "class 2"), "row 31: '/etc/out.png' leads out of"),
        (("new.png", "class 2", "more"), "more fields than there are columns"),
    ],
)
def test_a_wrong_row_is_named(table, row, message):
    assert message in one_line(table([*ROWS, row], skip=("../out.png", "/etc/out.png")))


def test_one_letter_is_one_however_it_is_written(table, tmp_path):
    composed, decomposed = "caf\u00e9", "cafe\u0301"
    header = ("path", "label", "group")
    rows = [(f"{decomposed} {n}.png", (composed, "bar")[n % 2], "") for n in range(20)]
    path = table(rows, header)
    path.write_text(unicodedata.normalize("NFC", path.read_text("utf-8")), "utf-8")
    source = load(path)
    assert source.classes == ("bar", composed)
    assert all(image.is_file() for split in splits(source).values() for image in split.images)

    mixed = [(f"{n}.png", ("bar", composed, decomposed)[n % 3], "") for n in range(30)]
    assert load(table(mixed, header)).classes == ("bar", composed)
    named = [(f"{n}.png", "ab"[n % 2], "train", f"{composed} {n}") for n in range(20)]
    named.append(("x.png", "a", "test", f"{decomposed} 3"))
    assert "is in train and in test" in one_line(table(named, ("path", "label", "split", "group")))
    twice = [*rows, (f"{composed} 7.png", composed, "")]
    message = one_line(table(twice, header, skip=(f"{composed} 7.png",)))
    assert "rows 8 and 21" in message


def test_names_may_hold_commas_and_line_breaks(table):
    rows = [(f"a, b\n{n}.png", ("one,\ntwo", "b")[n % 2]) for n in range(20)]
    source = load(table(rows))
    assert source.classes == ("b", "one,\ntwo")
    assert all(image.is_file() for split in splits(source).values() for image in split.images)


def test_images_that_are_not_there_are_counted(table):
    message = one_line(
        table([*ROWS, ("x.png", "ärger"), ("y.png", "ärger")], skip=("x.png", "y.png"))
    )
    assert "row 31: 'x.png' is not in" in message
    assert "nor is 1 other" in message


def test_wrong_splits_are_named(table):
    header = ("path", "label", "split")
    rows = [(f"{n}.png", "ab"[n % 2], "train") for n in range(20)]
    odd = [*rows, ("x.png", "a", "later")]
    assert "row 21: split 'later' is not train, val or test" in one_line(table(odd, header))
    blank = [*rows, ("x.png", "a", "")]
    assert "row 21: split '' is not" in one_line(table(blank, header))
    foreign = [*rows, ("x.png", "aa", "test")]
    assert "row 21: no training image has the label 'aa'" in one_line(table(foreign, header))
    no_train = [(f"{n}.png", "ab"[n % 2], "test") for n in range(20)]
    assert "no row of split train" in one_line(table(no_train, header))


def test_a_group_in_two_named_splits_is_an_error(table):
    rows = [(f"{n}.png", "ab"[n % 2], "train", f"g{n}") for n in range(20)]
    rows += [("x.png", "a", "test", "g3")]
    message = one_line(table(rows, ("path", "label", "split", "group")))
    assert "row 21: group 'g3' is in train and in test" in message


@pytest.mark.parametrize(("groups", "count"), [(1, "1 group"), (2, "1 group"), (6, "3 groups")])
def test_too_few_groups_for_a_split_are_counted(table, groups, count):
    rows = [(f"{n}.png", "ab"[n % 2], f"g{n % groups}") for n in range(20)]
    path = table(rows, ("path", "label", "group"))
    message = one_line(path, val_fraction=0.05, test_fraction=0.05)
    assert f"has its images in {count}, too few to be in every split" in message
    assert "give it 20 or more" in message


def test_a_column_that_is_another_name_for_the_image_is_no_label(table):
    rows = [(f"{n}.png", "ab"[n % 2], f"g{n}") for n in range(20)]
    message = one_line(table(rows, ("path", "label", "group")), label_column="path")
    assert "class '0.png' has its images in 1 group" in message


def test_one_class_is_an_error(table):
    assert "one class only, 'a'" in one_line(table([(f"{n}.png", "a") for n in range(9)]))


def test_rows_whose_images_cannot_be_read_are_left_out_by_name(table, tmp_path):
    path = table(ROWS, skip=(ROWS[0][0],))
    (tmp_path / ROWS[11][0]).write_bytes(b"")
    source = load(path, on_error="skip")
    assert [image.name for image in source.skipped] == [ROWS[0][0], ROWS[11][0]]
    assert [image.reason for image in source.skipped] == ["no such file", "the file is empty"]
    assert sum(map(len, splits(source).values())) == 28
    assert "leave them out with data.on_error=skip" in one_line(path)


def test_a_label_of_which_nothing_can_be_read_is_an_error(table):
    rows = [*ROWS, ("gone.png", "wren")]
    message = one_line(table(rows, skip=("gone.png",)), on_error="skip")
    assert "label 'wren' has no image that can be read, 'gone.png' for one" in message


def test_a_path_that_is_the_folder_itself_is_no_image(table, tmp_path):
    path = table(ROWS)
    path.write_text(path.read_text() + "img/..,ärger\n")
    assert "is not in" in one_line(path)


def test_a_path_that_is_no_table_is_one_line(table, tmp_path):
    table(ROWS)
    assert "is a folder; give a table of images, or data=image_folder" in one_line(tmp_path)
    assert one_line(tmp_path / "bird.csv").endswith("did you mean 'birds.csv'?")


@pytest.mark.parametrize("at", ["7.png", "images"])
def test_a_link_that_leads_out_is_refused_unless_it_is_meant(table, tmp_path, at):
    path = table([(f"set/images/{n}.png", "ab"[n % 2]) for n in range(20)])
    listed = tmp_path / "set" / "list.csv"
    listed.write_text(path.read_text().replace("set/", ""))
    link = tmp_path / "set" / "images" / "7.png" if at == "7.png" else tmp_path / "set" / "images"
    link.rename(tmp_path / at)
    link.symlink_to(tmp_path / at)
    message = one_line(listed)
    assert message.startswith(f"{link} is a link that leads out of {tmp_path / 'set'}, to ")
    assert len(load(listed, follow_links=True).train) == 12


def test_absolute_paths_may_lie_in_the_root(table, tmp_path):
    path = table([(f"{n}.png", "ab"[n % 2]) for n in range(20)])
    lines = path.read_text().splitlines()
    path.write_text("\n".join([lines[0], *(f"{tmp_path}/{line}" for line in lines[1:])]))
    assert load(path).train.names[0].endswith(".png")
    assert "/" not in load(path).train.names[0]


def test_splits_are_known_by_the_words_that_people_use(table):
    words = ("Training", "TRAIN_SET", "valid", "hold-out")
    rows = [(f"{n}.png", "ab"[n // 4 % 2], words[n % 4]) for n in range(40)]
    source = load(table(rows, ("path", "label", "split")))
    assert [len(split) for split in splits(source).values()] == [20, 10, 10]
    named = "train is 'Training' and 'TRAIN_SET', val is 'valid', test is 'hold-out'"
    assert source.origin == f"{named} as column 'split' says"


TWENTY = [(f"{label}/{n}.png", label) for label in ("cat", "dog") for n in range(10)]


def written(path, text, encoding="utf-8"):
    path.write_bytes(text.encode(encoding))
    return path


def lines(rows=TWENTY, header=("path", "label"), *, by=",", end="\n"):
    return "".join(by.join(row) + end for row in [header, *rows])


FROM_ELSEWHERE = {
    "backslashes": lines([(path.replace("/", "\\"), label) for path, label in TWENTY]),
    "a line for Excel": "sep=;\r\n" + lines(by=";", end="\r\n"),
    "a line for Excel, a bar": "\ufeffsep=|\n" + lines(by="|"),
    "spaces": lines(by=", "),
    "spaces before quotes": lines([(f'"{p}"', f'"{n}"') for p, n in TWENTY], by=", "),
    "empty fields at the end": lines([(*row, "", "") for row in TWENTY]),
    "rows of nothing": lines([*TWENTY, ("", ""), ("", " ")]) + "\n\n",
    "backslashes and a drive's folder": lines(
        [(".\\" + p.replace("/", "\\"), n) for p, n in TWENTY]
    ),
}


@pytest.mark.parametrize("name", FROM_ELSEWHERE)
@pytest.mark.parametrize("encoding", ["utf-8", "utf-8-sig", "utf-16", "utf-16-le", "utf-16-be"])
def test_tables_of_other_programs_are_read_where_the_meaning_is_certain(
    table, tmp_path, name, encoding
):
    as_ever = load(table(TWENTY))
    source = load(written(tmp_path / "other.csv", FROM_ELSEWHERE[name], encoding))
    assert source.classes == as_ever.classes == ("cat", "dog")
    assert source.test.images == as_ever.test.images
    assert not source.remarks


@pytest.mark.parametrize(
    ("more", "message"),
    [
        (
            "dog/x.png,dog,oops\n",
            "row 21: it has 3 fields ('dog/x.png', 'dog', 'oops'), more fields",
        ),
        ('dog/x.png,"7" dog\n', "row 21: text follows a closing quote; put the whole field in"),
        ('dog/x.png,"dog\ncat/y.png,cat\n', "row 21: it has a quote that is never closed; close"),
        ("dog/x.png\n", "row 21: the label is empty, as in 1 of 21 rows; fill them in, delete"),
    ],
)
def test_a_row_that_means_nothing_for_certain_is_named(table, more, message):
    path = table(TWENTY)
    path.write_text(path.read_text() + more)
    assert message in one_line(path)


def test_two_columns_of_one_name_are_refused(table):
    path = table([(*row, "x") for row in TWENTY], ("path", "label", "label"))
    assert "has two columns 'label'; give one another name" in one_line(path)


def test_the_encoding_is_a_question_with_the_row_and_can_be_given(table, tmp_path):
    rows = [(path, label.replace("cat", "Kätzchen")) for path, label in TWENTY]
    table(TWENTY)
    path = written(tmp_path / "old.csv", lines(rows), "cp1252")
    message = one_line(path)
    assert "row 1: b'cat/0.png,K\\xe4tzchen', which would be 'cat/0.png,Kätzchen' in" in message
    assert "data.encoding=cp1252" in message
    assert load(path, encoding="cp1252").classes == ("dog", "Kätzchen")
    assert "no such encoding" in one_line(path, encoding="cp12520")
    assert "cannot be read as utf-16" in one_line(
        written(tmp_path / "b.csv", "abc"), encoding="utf-16"
    )


@pytest.mark.parametrize("name", ["birds.xlsx", "birds.csv.gz", "birds.jsonl"])
def test_a_table_of_another_kind_is_no_csv_that_is_wrong(tmp_path, name):
    (tmp_path / name).write_bytes(b'PK\3\4{"path": "a.png", "label": "a"}\n')
    wanted = f"no .{name.rpartition('.')[2]} is read; save it as CSV UTF-8 or Parquet"
    assert one_line(tmp_path / name).endswith(wanted)


@pytest.mark.parametrize("name", ["x" * 300 + ".png", "a\0b.png"])
def test_a_path_that_no_file_can_have_is_one_that_leads_nowhere(table, name):
    path = table(TWENTY)
    with path.open("a", encoding="utf-8") as file:
        file.write(f"{name},cat\n")
    assert "row 21: " in (message := one_line(path))
    assert "1 of 21 paths lead nowhere" in message
    source = load(path, on_error="skip")
    assert [one.name for one in source.skipped] == [name]
    assert sum(map(len, splits(source).values())) == 20


def test_paths_that_lead_nowhere_are_counted_and_the_folder_is_named(table, tmp_path, monkeypatch):
    path = table(TWENTY)
    moved = tmp_path / "lists" / "birds.csv"
    moved.parent.mkdir()
    path.rename(moved)
    message = one_line(moved)
    assert "row 1: 'cat/0.png' is not in" in message
    assert "nor are 19 others ('cat/1.png', 'cat/2.png' and 17 more)" in message
    assert (
        f"20 of 20 paths lead nowhere, taken relative to {moved.parent}; they may begin in"
        in message
    )
    assert f"data.root={tmp_path}" in message
    assert len(load(moved, root=str(tmp_path)).train) == 12


def test_a_repeated_row_is_counted_and_an_image_with_two_labels_is_refused(table):
    source = load(table([*TWENTY, TWENTY[3], TWENTY[3], TWENTY[12]]))
    assert sum(map(len, splits(source).values())) == 20
    assert source.remarks == ("3 of 23 rows repeat one above: 21, 22, 23; left out",)
    message = one_line(table([*TWENTY, ("cat/3.png", "dog")]))
    assert "rows 4 and 21: 'cat/3.png' is listed twice, with label 'cat' and with 'dog'" in message
    header = ("path", "label", "split")
    rows = [(*row, "train") for row in TWENTY]
    message = one_line(table([*rows, (*TWENTY[3], "test")], header))
    assert "with split 'train' and with 'test'; keep one" in message


NOTHING = ["", " ", "nan", "NaN", "None", "NA", "N/A", "null", "<NA>", "\u200b"]


@pytest.mark.parametrize("empty", NOTHING)
def test_an_empty_label_is_refused_or_left_out_and_never_a_class(table, empty):
    rows = [*TWENTY, *((f"{n}.png", empty) for n in range(4))]
    message = one_line(path := table(rows))
    assert "row 21: the label is empty, as in 4 of 24 rows" in message
    assert message.endswith("leave them out with data.on_missing=skip")
    source = load(path, on_missing="skip")
    assert source.classes == ("cat", "dog")
    assert sum(map(len, splits(source).values())) == 20
    assert source.remarks == ("4 of 24 rows have no label: 21, 22, 23 and 1 more; left out",)


def test_an_empty_group_is_none_and_an_empty_split_is_left_out(table):
    rows = [(*row, "train" if n % 10 < 8 else "test", "NaN") for n, row in enumerate(TWENTY)]
    path = table([*rows, ("x.png", "cat", "None", "g")], ("path", "label", "split", "group"))
    assert "row 21: split '' is not train, val or test; leave such rows out" in one_line(path)
    source = load(path, on_missing="skip")
    assert len(source.test) == 4
    assert source.remarks == ("1 of 21 rows have no split: 21; left out",)


def test_floats_of_parquet_are_whole_numbers_and_nan_is_nothing(table, tmp_path):
    pyarrow = pytest.importorskip("pyarrow")
    from pyarrow import parquet

    from regraft.data.table import Columns, read

    table([(f"{n}.png", "x") for n in range(40)])
    nan = float("nan")
    columns = {
        "path": [f"{n}.png" for n in range(40)],
        "label": pyarrow.array([nan] * 4 + [float(n % 2) for n in range(36)], from_pandas=False),
        "group": pyarrow.array([nan] * 20 + [float(n) for n in range(20)], from_pandas=False),
    }
    path = tmp_path / "n.parquet"
    parquet.write_table(pyarrow.table(columns), path)
    assert "row 1: the label is empty, as in 4 of 40 rows" in one_line(path)
    assert load(path, on_missing="skip").classes == ("0", "1")
    _, rows = read(path, Columns("path", "label", None, None))
    assert [row.group for row in rows[:20]] == [None] * 20


def test_labels_that_pandas_made_floats_of_are_whole_numbers(table):
    rows = [(path, "1.0" if label == "cat" else "0.0") for path, label in TWENTY]
    assert load(table(rows)).classes == ("0", "1")
    rows[0] = (rows[0][0], "0.5")
    assert "'0.5'" in one_line(table(rows))


TWINS = ["cat", "Cat", "cat\u200b", "cat ", "\uff23\uff41\uff54", "c\u00adat", "CAT."]


@pytest.mark.parametrize("twin", TWINS[1:3] + TWINS[4:])
def test_labels_that_look_alike_are_a_question(table, twin):
    rows = [*TWENTY, *((f"{n}.png", twin) for n in range(5))]
    message = one_line(path := table(rows))
    assert f"'cat' (10 images) and {twin!r} (5 images)" in message or (
        f"{twin!r} (5 images) and 'cat' (10 images)" in message
    )
    assert "set data.merge_labels=true if they are one class, false if they are several" in message
    source = load(path, merge_labels=True)
    assert source.classes == ("cat", "dog")
    assert np.bincount(source.train.labels).tolist() == [9, 6]
    assert source.merged == {"cat": (twin,)}
    assert source.said()["merged_labels"] == {"cat": [twin]}
    assert f"are one class (data.merge_labels=true): {twin!r} as 'cat'" in source.remarks[0]
    assert len(load(path, merge_labels=False).classes) == 3


def test_what_differs_is_seen_also_after_a_terminal_has_joined_spaces(table):
    rows = [(f"{n}.png", ("big cat", "big  cat", "dog")[n % 3]) for n in range(30)]
    assert r"'big\x20\x20cat' (10 images) and 'big cat' (10 images) differ" in one_line(table(rows))


def test_groups_that_look_alike_stay_together(table):
    rows = [(f"{n}.png", "ab"[n % 2], "train", f"Patient {n // 2}") for n in range(20)]
    rows.append(("x.png", "a", "test", "patient_3"))
    assert "is in train and in test" in one_line(table(rows, ("path", "label", "split", "group")))


def test_what_is_no_text_is_one_line(tmp_path):
    (tmp_path / "b.csv").write_bytes(b"\x00\x01\x02\xff" * 9)
    assert "is not in UTF-8" in one_line(tmp_path / "b.csv")


@pytest.mark.parametrize("split", ["Split", "SPLIT", "split\u200b", "ｓｐｌｉｔ"])
def test_a_column_is_known_in_any_letters(table, split):
    rows = [(*row, "train" if n % 10 < 8 else "test", n // 2) for n, row in enumerate(TWENTY)]
    source = load(table(rows, ("Path", "LABEL", split, "Group")))
    assert len(source.test) == 4
    assert f"as column '{split}' says" in source.origin
    assert "by class and group" in source.origin


@pytest.mark.parametrize(
    ("begins", "message"),
    [
        (b"PK\x03\x04", "is no CSV, but a workbook"),
        (b"\xd0\xcf\x11\xe0\0\0", "is no CSV, but a workbook of Excel"),
        (b"\x1f\x8b\x08", "is no CSV, but compressed with gzip"),
        (b"PAR1", "begins like Parquet; call it .parquet"),
        (b"<!DOCTYPE html>", "is no CSV, but a web page"),
        (b"version https://git-lfs.github.com/spec/v1", "git lfs pull"),
    ],
)
def test_what_is_no_table_is_named(table, begins, message):
    path = table(TWENTY)
    path.write_bytes(begins + b"1\n2\n")
    assert message in one_line(path)


@pytest.mark.parametrize(
    ("begins", "message"),
    [
        ("https://a.org/", "they are addresses: download"),
        ("file:///data/", "write paths without file://"),
        ("C:\\data\\", "they are paths of a Windows drive"),
        ("\\\\server\\", "they are paths of a Windows share"),
        ("~/data/", "write them without ~"),
        ("/nowhere/", "'/nowhere/cat 0.png' is not in"),
    ],
)
def test_paths_that_no_folder_makes_right_are_named(table, begins, message):
    path = table([(f"{label} {n}.png", label) for label in ("cat", "dog") for n in range(5)])
    lines = path.read_text().splitlines()
    path.write_text("\n".join([lines[0], *(begins + line for line in lines[1:])]))
    assert message in one_line(path)
    assert "10 of 10 paths lead nowhere" in one_line(path)


def test_blank_lines_above_the_header_and_a_sep_line_in_capitals_are_passed(table):
    path = table(TWENTY)
    text = path.read_text()
    path.write_text("\n\n" + text)
    assert load(path).classes == ("cat", "dog")
    path.write_text("SEP=;\n" + text.replace(",", ";"))
    assert load(path).classes == ("cat", "dog")


def test_a_pipe_in_a_table_is_left_out_and_not_waited_for(table, tmp_path):
    path = table([*TWENTY, ("pipe.png", "cat")], skip=["pipe.png"])
    os.mkfifo(tmp_path / "pipe.png")
    assert [s.reason for s in load(path, on_error="skip").skipped] == ["it is no file"]


@pytest.mark.parametrize("label", [["cat"], [], {"name": "cat"}])
def test_a_list_of_labels_is_no_class(table, tmp_path, label):
    pyarrow = pytest.importorskip("pyarrow")
    from pyarrow import parquet

    table(TWENTY)
    columns = {"path": [path for path, _ in TWENTY], "label": [label] * len(TWENTY)}
    parquet.write_table(pyarrow.table(columns), tmp_path / "t.parquet")
    message = one_line(tmp_path / "t.parquet")
    assert f"row 1: the label is {label!r}, no single value" in message
