import inspect
import resource
import shutil
import socket
import tarfile
import threading
from contextlib import suppress

import numpy as np
import publisher
import pytest
import tiny_sets
from PIL import Image
from publisher import CHOICES, load

from regraft.data import published as room
from regraft.data.published import KNOWN, published
from regraft.errors import RegraftError

# torchvision first asks where a URL leads to, and does so with a GET.
ONCE = 2


@pytest.fixture(autouse=True)
def own_checksums(monkeypatch):
    """The small files are not those that were published."""
    room._published.cache_clear()
    publisher.without_checksums(monkeypatch)
    yield
    room._published.cache_clear()


def one_line(name, root, **changes):
    with pytest.raises(RegraftError) as info:
        load(name, root, **changes)
    assert len(str(info.value).splitlines()) == 1
    return str(info.value)


def splits(source):
    return {"train": source.train, "val": source.val, "test": source.test}


def sizes(source):
    return {name: len(split) for name, split in splits(source).items()}


def class_in(path):
    return path.parent.name if path.parent.name != "images" else path.stem.rpartition("_")[0]


@pytest.mark.parametrize("name", ["cifar10", "cifar100"])
def test_cifar_is_one_array_in_colour_with_its_own_test(tmp_path, name):
    tiny_sets.cifar10(tmp_path, kind=name)
    source = load(name, tmp_path)

    assert source.classes == ("aquarium fish", "apple")
    assert sizes(source) == {"train": 8, "val": 4, "test": 6}
    assert source.test.names == tuple(f"test/{n}" for n in range(6))
    for n, image, label in zip(range(6), source.test.images, source.test.labels, strict=True):
        assert image.shape == (32, 32, 3)
        assert image.dtype == np.uint8
        assert (image == [n + 100, n, n]).all()
        assert label == n % 2
    assert not set(source.train.names) & set(source.val.names)
    assert len(source.train) + len(source.val) == 12


def test_flowers_come_with_three_splits_by_their_lists(tmp_path):
    tiny_sets.flowers102(tmp_path)
    source = load("flowers102", tmp_path)

    assert len(source.classes) == 102
    found = {
        name: [(path.name, label) for path, label in zip(s.images, s.labels, strict=True)]
        for name, s in splits(source).items()
    }
    image = "image_{:05d}.jpg".format
    assert found["train"] == [(image(1), 0), (image(2), 1), (image(3), 2)]
    assert found["val"] == [(image(6), 2), (image(5), 1), (image(4), 0)]
    assert found["test"] == [(image(7), 0), (image(9), 2)]
    assert source.train.names[0] == "flowers-102/jpg/image_00001.jpg"
    assert "comes with train, val and test" in one_line("flowers102", tmp_path, fold=0)


@pytest.mark.parametrize(
    ("name", "classes", "counts"),
    [
        ("oxford_pets", ("Abyssinian", "American Bulldog"), (6, 2, 4)),
        ("food101", ("apple pie", "baby back ribs"), (6, 2, 4)),
        ("dtd", ("banded", "zigzagged"), (2, 2, 2)),
        ("eurosat", ("Forest", "SeaLake"), (4, 4, 4)),
    ],
)
def test_image_files_have_the_labels_that_their_names_tell(tmp_path, name, classes, counts):
    getattr(tiny_sets, name)(tmp_path)
    source = load(name, tmp_path)

    assert source.name == name
    assert source.classes == classes
    assert tuple(sizes(source).values()) == counts
    for split in splits(source).values():
        for path, label in zip(split.images, split.labels, strict=True):
            assert path.is_file()
            told = class_in(path).replace("_", " ")
            assert told.casefold() == classes[label].casefold()
    names = [n for split in splits(source).values() for n in split.names]
    assert len(set(names)) == sum(counts)
    assert all((tmp_path / n).is_file() for n in names)


@pytest.mark.parametrize("form", ["fer2013.csv", "icml_face_data.csv"])
def test_faces_have_the_public_test_for_val_and_the_private_one_for_test(tmp_path, form):
    tiny_sets.fer2013(tmp_path, form)
    source = load("fer2013", tmp_path)

    emotions = ("angry", "disgust", "fear", "happy", "sad", "surprise", "neutral")
    assert source.classes == emotions
    first = 0
    for split, count in zip(splits(source).values(), (12, 4, 6), strict=True):
        assert split.images.shape == (count, 48, 48)
        assert split.images[:, 5, 7].tolist() == [*range(first, first + count)]
        assert [emotions[n] for n in split.labels] == ["angry", "happy"] * (count // 2)
        first += count


def test_faces_are_found_in_the_folder_of_the_table_too(tmp_path):
    tiny_sets.fer2013(tmp_path)
    inside, above = (load("fer2013", root) for root in (tmp_path / "fer2013", tmp_path))
    assert np.array_equal(inside.train.images, above.train.images)


def test_of_the_table_without_usage_val_and_test_are_split_off(tmp_path):
    tiny_sets.fer2013(tmp_path, "train.csv")
    table = tmp_path / "fer2013" / "train.csv"
    text = table.read_text()
    # All seven, since each part has every class.
    rows = [f"{n % 7},{' '.join(['9'] * 2304)}" for n in range(28)]
    table.write_text("\n".join([text.splitlines()[0], *rows]) + "\n")
    assert sizes(load("fer2013", tmp_path)) == {"train": 14, "val": 7, "test": 7}


def test_faces_are_asked_for_and_a_damaged_table_is_refused(tmp_path):
    text = one_line("fer2013", tmp_path, download=True)
    assert "https://www.kaggle.com/c/challenges-in-representation-learning" in text
    assert f"put it into {tmp_path / 'fer2013'}" in text
    (tmp_path / "fer2013").mkdir()
    assert "none of fer2013.csv, icml_face_data.csv and train.csv" in one_line("fer2013", tmp_path)
    table = tiny_sets.fer2013(tmp_path) / "fer2013.csv"
    whole = table.read_text()
    table.write_text(whole[:-400])  # within a row
    assert "fer2013 is not whole" in one_line("fer2013", tmp_path)
    lines = whole.splitlines(keepends=True)
    table.write_text("".join(lines[:15]))  # whole rows, but none of the private test
    assert "fer2013.csv is cut off" in one_line("fer2013", tmp_path)


def test_folds_and_shares_apply_to_train(tmp_path):
    tiny_sets.eurosat(tmp_path)
    found = [load("eurosat", tmp_path, fold=fold) for fold in range(3)]
    assert sorted(sum((s.test.names for s in found), ())) == sorted(
        path.relative_to(tmp_path).as_posix() for path in tmp_path.rglob("*.jpg")
    )
    assert len(load("eurosat", tmp_path, per_class=1).train) == 2


def test_jobs_of_a_process_share_what_was_read(tmp_path):
    tiny_sets.cifar10(tmp_path)
    assert load("cifar10", tmp_path) is load("cifar10", tmp_path)


def test_what_is_absent_is_said_and_where_to_put_it(tmp_path):
    text = one_line("cifar10", tmp_path / "new")
    assert f"there is no folder {tmp_path / 'new' / 'cifar-10-batches-py'}" in text
    assert "unpack https://www.cs.toronto.edu/~kriz/cifar-10-python.tar.gz" in text
    assert "data.download=true" in text
    assert not (tmp_path / "new").exists()


def test_without_a_root_it_lies_in_the_cache(tmp_path, monkeypatch):
    monkeypatch.setenv("REGRAFT_CACHE", str(tmp_path))
    tiny_sets.eurosat(tmp_path / "datasets" / "eurosat")
    source = published(0, name="eurosat", **CHOICES)
    assert source.train.images[0].is_relative_to(tmp_path)


@pytest.mark.parametrize(
    ("name", "lost", "said"),
    [
        ("food101", "images/apple_pie/1.jpg", "1 images are missing"),
        ("food101", "meta/test.json", "No such file"),
        ("oxford_pets", "annotations/trainval.txt", "No such file"),
        ("flowers102", "setid.mat", "not found or corrupted"),
        ("cifar10", "test_batch", "not found or corrupted"),
        ("eurosat", "2750", "not found"),
    ],
)
def test_a_folder_that_is_not_whole_is_refused_and_left(tmp_path, name, lost, said):
    folder = getattr(tiny_sets, name)(tmp_path)
    gone = folder / lost
    shutil.rmtree(gone) if gone.is_dir() else gone.unlink()
    text = one_line(name, tmp_path, download=True)
    assert f"{folder} is not whole" in text
    assert said in text
    assert "move it away" in text
    assert "You can use" not in text
    assert folder.is_dir()


@pytest.mark.parametrize("name", [name for name, known in KNOWN.items() if known.fetch])
def test_the_url_is_the_one_that_torchvision_downloads(name):
    source = inspect.getsource(inspect.getmodule(KNOWN[name].fetch))
    prefix, _, file = KNOWN[name].url.rpartition("/")
    assert prefix in source
    assert file in source


# Downloads, from a server on this machine.


@pytest.fixture
def server():
    with publisher.serving() as server:
        yield server


@pytest.fixture(params=sorted(publisher.SERVED))
def served(request, tmp_path, server, monkeypatch):
    """The name of a data set that the server has; one is a .tar.gz, the other a .zip."""
    publisher.SERVED[request.param](tmp_path, server, monkeypatch)
    return request.param


def left(root):
    """What a failed attempt has left that is more than a lock."""
    if not root.exists():
        return []
    return [path.name for path in root.iterdir() if path.suffix != ".lock"]


def test_a_download_is_kept_without_its_archive_and_not_repeated(served, server, tmp_path, caplog):
    root = tmp_path / "new" / "root"
    first = load(served, root, download=True)
    assert sum(sizes(first).values()) > 10
    assert f"downloading {KNOWN[served].url}" in caplog.text
    assert left(root) == [KNOWN[served].folder]
    assert not [*root.rglob("*.zip"), *root.rglob("*.gz")]
    room._published.cache_clear()
    again = load(served, root)
    assert again.test.names == first.test.names
    assert len(server.asked) == ONCE


@pytest.mark.parametrize(
    ("mood", "said"),
    [
        ("404", "the server answered 404 Not Found"),
        ("500", "the server answered 500 Internal Server Error"),
        ("cut", "cut off, or is not what was published (its checksum differs)"),
        ("changed", "cut off, or is not what was published (its checksum differs)"),
        ("stalled", "nothing came for 0.2 s"),
    ],
)
def test_a_failed_download_is_one_line_and_leaves_nothing(
    served, server, tmp_path, monkeypatch, mood, said
):
    monkeypatch.setattr(room, "STALL_S", 0.2)
    server.mood = mood
    root = tmp_path / "root"
    text = one_line(served, root, download=True)
    assert text.startswith(f"data={served}: {KNOWN[served].url} could not be downloaded to {root}")
    assert said in text
    assert left(root) == []
    assert socket.getdefaulttimeout() is None

    server.given_up.set()
    server.mood = "whole"
    monkeypatch.setattr(room, "STALL_S", 60)
    assert sum(sizes(load(served, root, download=True)).values()) > 10


def test_no_network_is_said_within_seconds(served, tmp_path, monkeypatch):
    """By whoever asks first whether anybody answers: the download, of a minute, never begins."""
    assert room.REACH_S < 10 < room.STALL_S
    with socket.socket() as silent:  # connections are taken, and never answered
        silent.bind(("127.0.0.1", 0))
        silent.listen()
        closed = "http://127.0.0.1:9/x.zip"
        mute = f"http://127.0.0.1:{silent.getsockname()[1]}/x.zip"
        monkeypatch.setattr(room, "REACH_S", 0.1)
        monkeypatch.setattr(room, "unpacked_inside", None)
        for url in (closed, mute, "http://no.such.host.invalid/x.zip"):
            monkeypatch.setitem(KNOWN, served, KNOWN[served]._replace(url=url))
            text = one_line(served, tmp_path / "root", download=True)
            assert f"{url} could not be downloaded to {tmp_path / 'root'}" in text
            assert "is there a network?" in text
            assert left(tmp_path / "root") == []


def test_a_full_disk_is_one_line_and_leaves_nothing(served, tmp_path):
    root = tmp_path / "root"
    limits = resource.getrlimit(resource.RLIMIT_FSIZE)
    resource.setrlimit(resource.RLIMIT_FSIZE, (50_000, limits[1]))
    try:
        text = one_line(served, root, download=True)
    finally:
        resource.setrlimit(resource.RLIMIT_FSIZE, limits)
    assert f"downloaded to {root}: File too large" in text
    assert left(root) == []
    assert sum(sizes(load(served, root, download=True)).values()) > 10


def test_a_folder_that_cannot_be_made_is_one_line(served, tmp_path):
    (tmp_path / "file").touch()
    assert "Not a directory" in one_line(served, tmp_path / "file" / "root", download=True)


def test_what_a_killed_process_left_is_not_taken_for_whole(served, server, tmp_path):
    folder = tmp_path / f".{KNOWN[served].folder}.part" / KNOWN[served].folder / "2750" / "Ghost"
    folder.mkdir(parents=True)
    Image.new("RGB", (2, 2)).save(folder / "x.jpg")
    source = load(served, tmp_path, download=True)
    assert "Ghost" not in source.classes
    assert not folder.exists()


def test_jobs_that_race_download_once(served, server, tmp_path, monkeypatch):
    """Three have all seen that it is not there, before the first of them may fetch it.

    Threads stand for processes, whose locks are the same; processes race nightly.
    """
    barrier, make_whole, counts = threading.Barrier(3), room.make_whole, []

    def together(*arguments):
        barrier.wait(60)
        make_whole(*arguments)

    monkeypatch.setattr(room, "make_whole", together)

    def job():
        counts.append(len(load(served, tmp_path / "r", download=True).test))

    jobs = [threading.Thread(target=job) for _ in range(3)]
    for one in jobs:
        one.start()
    for one in jobs:
        one.join()
    assert len(counts) == 3 and len(set(counts)) == 1, counts
    assert len(server.asked) == ONCE


@pytest.mark.parametrize("member", ["../canary", "{}/canary", "link"])
def test_no_member_of_an_archive_lands_outside(tmp_path, member):
    """The payload works: without the filter, Python 3.11 puts all three where they want to be."""
    archive, inside = tmp_path / "set.tar", tmp_path / "inside"
    inside.mkdir()
    with tarfile.open(archive, "w") as tar:
        info = tarfile.TarInfo(member.format(tmp_path))
        if member == "link":
            info.type, info.linkname = tarfile.SYMTYPE, "../canary"
        tar.addfile(info)
    with (
        tarfile.open(archive) as tar,
        room.unpacked_inside(),
        suppress(tarfile.FilterError),
    ):
        tar.extractall(inside)
    assert not (tmp_path / "canary").exists()
    assert not (inside / "link").is_symlink()
    with tarfile.open(archive) as tar:
        tar.extractall(inside, filter="fully_trusted")
    assert (tmp_path / "canary").exists() or (inside / "link").is_symlink()
