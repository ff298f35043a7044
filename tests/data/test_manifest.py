import csv
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
    columns = {f"{name}_column": name for name in ("path", "label", "split", "group")}
    choices = {"root": None, "val_fraction": 0.2, "test_fraction": 0.2, "split_seed": 0}
    choices |= {"per_class": None, "fold": None, "folds": 5, "fraction": None, "on_error": "fail"}
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
    (tmp_path / "latin.csv").write_bytes("path,label\nä.png,x\n".encode("latin-1"))
    assert "UTF-8" in one_line(tmp_path / "latin.csv")


def test_a_missing_column_is_named_with_the_nearest(table):
    assert "no column 'label', only 'path', 'labels'; did you mean 'labels'?" in one_line(
        table(ROWS, ("path", "labels"))
    )
    assert "set data.path_column" in one_line(table(ROWS, ("x", "label")))


@pytest.mark.parametrize(
    ("row", "message"),
    [
        (("", "class 2"), "row 31: the path is empty"),
        (("new.png", " "), "row 31: the label is empty"),
        (("class 2 1.png", "class 2"), "rows 12 and 31: 'class 2 1.png' is listed twice"),
        (("../out.png", "class 2"), "row 31: '../out.png' leads out of"),
        (("new.png", "class 2", "more"), "more fields than there are columns"),
    ],
)
def test_a_wrong_row_is_named(table, row, message):
    assert message in one_line(table([*ROWS, row], skip=("../out.png",)))


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
    twice = [*rows, (f"{composed} 7.png", "bar", "")]
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
    odd = [*rows, ("x.png", "a", "holdout")]
    assert "row 21: split 'holdout' is not train, val or test" in one_line(table(odd, header))
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


@pytest.mark.parametrize("groups", [1, 2])
def test_too_few_groups_for_a_split_are_an_error(table, groups):
    rows = [(f"{n}.png", "ab"[n % 2], f"g{n % groups}") for n in range(20)]
    assert "group" in one_line(table(rows, ("path", "label", "group")))


def test_one_class_is_an_error(table):
    assert "one class only, 'a'" in one_line(table([(f"{n}.png", "a") for n in range(9)]))


def test_rows_whose_images_cannot_be_read_are_left_out_by_name(table, tmp_path):
    path = table(ROWS, skip=(ROWS[0][0],))
    (tmp_path / ROWS[11][0]).write_bytes(b"")
    source = load(path, on_error="skip")
    assert [image.name for image in source.skipped] == [ROWS[0][0], ROWS[11][0]]
    assert "FileNotFoundError" in source.skipped[0].reason
    assert sum(map(len, splits(source).values())) == 28
    assert "leave them out with data.on_error=skip" in one_line(path)


def test_a_label_of_which_nothing_can_be_read_is_an_error(table):
    rows = [*ROWS, ("gone.png", "wren")]
    message = one_line(table(rows, skip=("gone.png",)), on_error="skip")
    assert "label 'wren' has no image that can be read, 'gone.png' for one" in message
