import io
import sys
import threading
from http.server import BaseHTTPRequestHandler, HTTPServer

import numpy as np
import pytest
from PIL import Image

from regraft.data import hf as room
from regraft.data.hf import hub_images
from regraft.data.transforms import read_image
from regraft.errors import RegraftError

datasets = pytest.importorskip("datasets")

CHOICES = {
    "name": None,
    "revision": None,
    "image_column": "image",
    "label_column": "label",
    "val_fraction": 0.2,
    "test_fraction": 0.2,
    "split_seed": 0,
    "fold": None,
    "folds": 5,
    "per_class": None,
    "fraction": None,
}


@pytest.fixture(autouse=True)
def offline(tmp_path, monkeypatch):
    """No network, and nothing in the caches of whoever runs the tests."""
    monkeypatch.setattr(datasets.config, "HF_HUB_OFFLINE", True)
    monkeypatch.setattr(datasets.config, "HF_DATASETS_CACHE", str(tmp_path / "hf"))
    monkeypatch.setenv("REGRAFT_CACHE", str(tmp_path / "cache"))
    datasets.disable_progress_bars()
    room._hub_images.cache_clear()
    yield
    room._hub_images.cache_clear()


def load(path, **changes):
    return hub_images(0, path=str(path), **(CHOICES | changes))


def one_line(path, **changes):
    with pytest.raises(RegraftError) as info:
        load(path, **changes)
    assert len(str(info.value).splitlines()) == 1
    return str(info.value)


def splits(source):
    return {"train": source.train, "val": source.val, "test": source.test}


def png(value):
    buffer = io.BytesIO()
    Image.new("RGB", (6, 4), (value, 0, 255 - value)).save(buffer, "png")
    return {"bytes": buffer.getvalue(), "path": f"{value}.png"}


NAMES = ["zebra", "ant"]


@pytest.fixture
def table(tmp_path):
    """Writes parquet files, one per split, as repositories on the hub have them."""

    def write(labels, kind=None, *, values=None, folder="made", **more):
        kind = datasets.ClassLabel(names=NAMES) if kind is None else kind
        features = datasets.Features({"image": datasets.Image(), "label": kind, "id": VALUE})
        (tmp_path / folder / "data").mkdir(parents=True, exist_ok=True)
        for number, (split, found) in enumerate(labels.items()):
            columns = {
                "image": [png(50 * number + n) for n in range(len(found))],
                "label": found,
                "id": [f"{split} {n}" for n in range(len(found))],
            }
            made = datasets.Dataset.from_dict(columns, features=features)
            made.to_parquet(tmp_path / folder / "data" / f"{split}-00000-of-00001.parquet")
        return tmp_path / folder

    return write


VALUE = datasets.Value("string")
TRAIN_AND_TEST = {"train": [0, 1] * 10, "test": [1, 1, 0, 0]}


def reds(split):
    return [np.asarray(read_image(path))[0, 0, 0].item() for path in split.images]


def test_encoded_images_become_files_with_their_bytes_and_labels(table, tmp_path):
    source = load(table(TRAIN_AND_TEST))

    assert source.name == "made"
    assert source.classes == ("zebra", "ant")  # in the order of its own numbers
    assert [len(split) for split in splits(source).values()] == [16, 4, 4]
    assert source.test.labels.tolist() == [1, 1, 0, 0]
    assert reds(source.test) == [50, 51, 52, 53]
    assert [path.read_bytes() for path in source.test.images] == [
        png(n)["bytes"] for n in (50, 51, 52, 53)
    ]
    assert source.test.names[1] == "test/00000001.png"
    for split in (source.train, source.val):
        assert [red % 2 for red in reds(split)] == split.labels.tolist()
        assert all(
            path.is_relative_to(tmp_path / "cache" / "datasets" / "hf") for path in split.images
        )
    assert not set(source.train.images) & set(source.val.images)


def test_another_table_in_the_same_place_has_files_of_its_own(table):
    first = load(table(TRAIN_AND_TEST))
    room._hub_images.cache_clear()
    second = load(table({"train": [0, 1] * 10, "test": [0, 0, 0, 1, 1]}))
    assert second.test.labels.tolist() == [0, 0, 0, 1, 1]
    assert second.test.images[0].parent != first.test.images[0].parent


def test_a_second_process_reads_what_the_first_one_wrote(table):
    path = table(TRAIN_AND_TEST)
    first = load(path)
    before = first.test.images[0].stat().st_mtime_ns
    room._hub_images.cache_clear()
    second = load(path)
    assert second.test.images == first.test.images
    assert second.test.images[0].stat().st_mtime_ns == before
    assert load(path).test is second.test


def test_a_cut_off_writer_leaves_nothing(table, tmp_path, monkeypatch):
    path = table(TRAIN_AND_TEST)
    with monkeypatch.context() as patch:

        def full(*_):
            raise OSError(28, "No space left on device")

        patch.setattr("pathlib.Path.write_bytes", full)
        text = one_line(path)
    assert "No space left on device; make room or set REGRAFT_CACHE" in text
    assert not [p for p in (tmp_path / "cache").rglob("*") if p.is_dir() and "made" in p.name]
    assert len(load(path).train) == 16


def test_a_folder_that_lost_an_image_is_refused(table):
    path = table(TRAIN_AND_TEST)
    load(path).test.images[0].unlink()
    room._hub_images.cache_clear()
    assert "is not whole; delete it, and it is written again" in one_line(path)


def test_a_folder_of_image_files_is_not_copied(tmp_path):
    for split in ("train", "validation", "test"):
        for kind in ("b", "a"):
            for n in range(3):
                path = tmp_path / "own" / split / kind / f"{n}.png"
                path.parent.mkdir(parents=True, exist_ok=True)
                path.write_bytes(png(n)["bytes"])
    source = load(tmp_path / "own")
    assert source.classes == ("a", "b")
    for name, split in zip(("train", "validation", "test"), splits(source).values(), strict=True):
        assert len(split) == 6
        for path, label in zip(split.images, split.labels, strict=True):
            assert path.is_relative_to(tmp_path / "own" / name / source.classes[label])
    assert len(set(source.train.names)) == 6
    assert source.train.names[0] == "train/a/0.png"
    assert not (tmp_path / "cache").exists()


@pytest.mark.parametrize(
    ("kind", "labels", "classes"),
    [
        (datasets.Value("string"), ["b 10", "b 2"], ("b 2", "b 10")),
        (datasets.Value("int64"), [10, 9], ("9", "10")),
        (datasets.Value("bool"), [True, False], ("False", "True")),
    ],
)
def test_labels_that_are_no_class_labels_are_sorted_naturally(table, kind, labels, classes):
    source = load(table({"train": labels * 10, "test": labels}, kind))
    assert source.classes == classes
    assert [classes[n] for n in source.test.labels] == [str(label) for label in labels]


def test_a_name_of_no_training_image_is_no_class(table):
    kind = datasets.ClassLabel(names=["nobody", *NAMES])
    source = load(table({"train": [2, 1] * 10}, kind))
    assert source.classes == ("zebra", "ant")
    assert [len(split) for split in splits(source).values()] == [12, 4, 4]


def test_a_test_without_labels_is_left_out_with_a_word(table, caplog):
    source = load(table({"train": [0, 1] * 10, "test": [-1] * 4}))
    assert "test has no labels and is left out" in caplog.text
    assert len(source.test) == 4
    assert {path.parent.name[:10] for path in source.test.images} == {
        path.parent.name[:10] for path in source.train.images
    }
    assert max(reds(source.test)) < 50


def test_other_splits_are_named_and_ignored(table, caplog):
    source = load(table({"train": [0, 1] * 10, "extra": [1, 1]}))
    assert "ignored beside train: extra" in caplog.text
    assert len(source.train) == 12


def test_folds_apply(table):
    path = table({"train": [0, 1] * 10})
    tests = [load(path, fold=fold).test.names for fold in range(5)]
    assert len(set(sum(tests, ()))) == 20


@pytest.mark.parametrize(
    ("labels", "message"),
    [
        ({"train": [0, 1, -1, 1]}, "train: image 2 has no label"),
        ({"train": [0, 1] * 5, "test": [0, None]}, "test: image 1 has no label"),
        ({"train": [0] * 5}, "trains one class only"),
        ({"test": [0, 1]}, "has no split train, only test"),
    ],
)
def test_labels_that_cannot_be_used_are_one_line(table, labels, message):
    assert message in one_line(table(labels))


@pytest.mark.parametrize("row", [0, 2])
def test_a_row_without_an_image_is_named(table, row):
    pictures = [png(n) for n in range(10)]
    pictures[row] = None
    columns = {"image": pictures, "label": [0, 1] * 5, "id": ["x"] * 10}
    path = table({"train": [0, 1] * 5})
    made = datasets.Dataset.from_dict(
        columns, features=datasets.load_dataset(str(path))["train"].features
    )
    made.to_parquet(path / "data" / "train-00000-of-00001.parquet")
    assert f"train: row {row} has no image" in one_line(path)


def test_a_label_that_train_lacks_is_named_with_the_nearest(table):
    path = table({"train": ["ant", "bee"] * 5, "test": ["ants"]}, VALUE)
    assert "no training image has the label 'ants'; did you mean 'ant'?" in one_line(path)


def test_wrong_columns_are_named_with_the_nearest(table):
    path = table(TRAIN_AND_TEST)
    assert "no column 'labels', only 'image', 'label', 'id'; did you mean 'label'?" in one_line(
        path, label_column="labels"
    )
    assert "set data.image_column" in one_line(path, image_column="x")
    assert "'id' does not hold images; set data.image_column=image" in one_line(
        path, image_column="id"
    )
    assert "not one class each" in one_line(path, label_column="image")


def test_an_unknown_configuration_is_named_with_the_nearest(table):
    path = table({"train": [0, 1] * 10})
    card = "---\nconfigs:\n{}---\n"
    config = "- config_name: {}\n  data_files: data/*.parquet\n"
    (path / "README.md").write_text(card.format(config.format("large") + config.format("small")))
    assert "has no such configuration; did you mean 'large'?" in one_line(path, name="larg")
    assert "there are large, small" in one_line(path, name="x")
    assert "add data.name=, one of 'large', 'small'" in one_line(path)
    assert len(load(path, name="small").train) == 12


@pytest.mark.parametrize("name", [None, "small"])
def test_a_set_that_was_had_before_needs_no_network(table, tmp_path, name):
    card = table(TRAIN_AND_TEST) / "README.md"
    files = "".join(f"\n  - split: {n}\n    path: data/{n}*" for n in ("train", "test"))
    card.write_text(f"---\nconfigs:\n- config_name: small\n  data_files:{files}\n---\n")
    datasets.load_dataset(str(table(TRAIN_AND_TEST)))
    [built] = (tmp_path / "hf").glob("*/*/*/*/dataset_info.json")
    home = tmp_path / "hf" / "some___pictures" / "small" / "0.0.0"
    home.mkdir(parents=True)
    built.parent.rename(home / built.parent.name)
    for file in (home / built.parent.name).glob("*.arrow"):
        file.rename(file.with_name(file.name.replace("made", "pictures")))
    source = load("some/pictures", name=name)
    assert reds(source.test) == [50, 51, 52, 53]


def test_what_is_not_there_is_one_line(tmp_path):
    assert "there is no such folder" in one_line(tmp_path / "gone")
    (tmp_path / "file").touch()
    assert "is a file; give a folder" in one_line(tmp_path / "file")
    (tmp_path / "empty").mkdir()
    assert f"data.path={tmp_path / 'empty'}: " in one_line(tmp_path / "empty")


def test_without_network_it_is_said_at_once(monkeypatch):
    """The library, which would try again and again for minutes, is told that it is offline."""
    assert "neither on this machine nor is" in one_line("some/pictures")
    monkeypatch.setattr(datasets.config, "HF_HUB_OFFLINE", False)
    monkeypatch.setattr(datasets.config, "HF_ENDPOINT", "http://127.0.0.1:9")
    offline, load_dataset = [], datasets.load_dataset

    def watched(*arguments, **options):
        offline.append(datasets.config.HF_HUB_OFFLINE)
        return load_dataset(*arguments, **options)

    monkeypatch.setattr(datasets, "load_dataset", watched)
    text = one_line("some/pictures")
    assert offline == [True]
    assert "http://127.0.0.1:9 reachable; connect once" in text
    assert datasets.config.HF_HUB_OFFLINE is False


class Unknown(BaseHTTPRequestHandler):
    """The hub's answer to a name that it does not have, or does not show to strangers."""

    def do_HEAD(self):
        self.send_response(401)
        self.send_header("X-Error-Code", "RepoNotFound")
        self.send_header("Content-Length", "0")
        self.end_headers()

    def do_GET(self):
        self.do_HEAD()

    def log_message(self, *_):
        pass


def test_an_unknown_repository_is_one_line(monkeypatch):
    monkeypatch.setattr(datasets.config, "HF_HUB_OFFLINE", False)
    with HTTPServer(("127.0.0.1", 0), Unknown) as server:
        threading.Thread(target=server.serve_forever, args=(0.01,), daemon=True).start()
        endpoint = f"http://127.0.0.1:{server.server_port}"
        monkeypatch.setattr(datasets.config, "HF_ENDPOINT", endpoint)
        text = one_line("some/pictures", name="x")
        server.shutdown()
    assert "'some/pictures' doesn't exist on the Hub" in text
    assert "hf auth login" in text


def test_without_the_library_the_command_is_given(monkeypatch):
    monkeypatch.setitem(sys.modules, "datasets", None)
    assert one_line("some/pictures") == "data=hf needs a library: pip install 'regraft[hf]'"


def test_splits_are_known_by_the_names_that_people_give_them(table):
    source = load(table({"training": [0, 1] * 5, "dev": [0, 1], "holdout": [0, 1] * 2}))
    assert [len(split) for split in splits(source).values()] == [10, 2, 4]
    assert source.origin == "train is 'training', val is 'dev', test is 'holdout'"
    room._hub_images.cache_clear()
    both = table({"train": [0, 1] * 5, "eval": [0], "dev": [1], "testing": [1]}, folder="four")
    assert "'dev' and 'eval' both mean val; a copy may keep one" in one_line(both)


def test_empty_labels_are_refused_or_left_out_and_never_a_class(table):
    path = table({"train": ["ant", "bee"] * 5 + ["nan", None], "test": ["ant", ""]}, VALUE)
    assert "image 10 has no label, as 2 of 12; leave them out with" in one_line(path)
    source = load(path, on_missing="skip")
    assert source.classes == ("ant", "bee")
    assert [len(split) for split in splits(source).values()] == [8, 2, 1]
    assert reds(source.test) == [50]
    assert source.remarks == (
        "train: 2 of 12 images have no label: left out",
        "test: 1 of 2 images have no label: left out",
    )


def test_floats_are_labels_if_they_are_whole(table):
    kind = datasets.Value("float64")
    path = table({"train": [1.0, 0.0] * 5 + [float("nan")], "test": [1.0]}, kind)
    assert "image 10 has no label, as 1 of 11" in one_line(path)
    assert load(path, on_missing="skip").classes == ("0", "1")
    half = table({"train": [1.0, 0.5] * 5}, kind, folder="half")
    assert "holds numbers such as 1.0, not one class each; set data.label_column" in one_line(half)


def test_labels_that_look_alike_are_a_question(table):
    path = table({"train": ["ant", "bee"] * 5 + ["Ant"], "test": ["BEE"]}, VALUE)
    message = one_line(path)
    assert "'Ant' (1 images) and 'ant' (5 images), 'BEE' (1 images) and 'bee' (5 images)" in message
    source = load(path, merge_labels=True)
    assert source.classes == ("ant", "bee")
    assert source.merged == {"ant": ("Ant",), "bee": ("BEE",)}
