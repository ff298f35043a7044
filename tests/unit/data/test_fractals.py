"""Formula-driven images: same seed, same pixels; disjoint classes; a cache that is never wrong."""

import errno
import fcntl
import threading
from pathlib import Path

import numpy as np
import pytest

from regraft import paths
from regraft.data import fractals

SMALL = {"size": 32, "seed": 0}
THUMBNAILS_OF_VERSION_1 = [
    115.81,
    115.98,
    118.8,
    113.97,
    141.4,
    144.98,
    142.1,
    142.8,
    137.32,
    135.4,
    139.34,
    140.43,
    117.31,
    115.94,
    119.18,
    117.23,
]  # the mean grey of the quarters of four classes


@pytest.fixture
def cache(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    monkeypatch.setenv("REGRAFT_CACHE", str(tmp_path / "cache"))
    return tmp_path / "cache" / "fractals"


def test_the_same_seed_gives_the_same_pixels_and_another_seed_gives_others():
    first = fractals.render("source", 3, 4, **SMALL)

    assert np.array_equal(first, fractals.render("source", 3, 4, **SMALL))
    assert not np.array_equal(first, fractals.render("source", 3, 4, size=32, seed=1))


def test_pixels_have_not_changed_without_a_new_renderer_version():
    images = fractals.render("target", 4, 8, **SMALL)
    thumbnails = images.reshape(4, 8, 2, 16, 2, 16, 3).mean((1, 3, 5, 6))

    assert fractals.RENDERER_VERSION == 1
    assert pytest.approx(thumbnails.round(2).ravel().tolist(), abs=0.05) == THUMBNAILS_OF_VERSION_1


@pytest.mark.parametrize("size", [32, 64])
def test_images_are_bytes_of_the_size_asked_for_ordered_by_class(size):
    images = fractals.render("source", 2, 3, size=size, seed=0)

    assert (6, size, size, 3) == images.shape
    assert np.uint8 == images.dtype
    assert np.array_equal(images[:3], fractals.render("source", 1, 3, size=size, seed=0))


def test_fewer_images_per_class_are_a_prefix_of_more():
    more = fractals.render("target", 3, 70, **SMALL).reshape(3, 70, 32, 32, 3)
    fewer = fractals.render("target", 2, 5, **SMALL).reshape(2, 5, 32, 32, 3)

    assert np.array_equal(fewer, more[:2, :5])


def test_a_start_skips_images_without_changing_them():
    whole = fractals.render("source", 2, 9, **SMALL).reshape(2, 9, 32, 32, 3)
    part = fractals.render("source", 2, 4, start=5, **SMALL).reshape(2, 4, 32, 32, 3)

    assert np.array_equal(part, whole[:, 5:])


def test_no_image_is_made_twice():
    images = fractals.render("source", 10, 40, **SMALL)

    assert len(images) == len({image.tobytes() for image in images})


def test_source_and_target_classes_never_overlap():
    systems = [fractals.system(role, i, seed=0) for role in ("source", "target") for i in range(60)]
    firsts = [system.maps()[0].round(3).tobytes() for system in systems]

    assert len(set(firsts)) == 120


def test_every_class_contracts():
    for index in range(40):
        maps = fractals.system("source", index, seed=0).maps()

        assert 2 <= len(maps) <= 5
        assert np.linalg.svd(maps[:, :, :2], compute_uv=False).max() < 1


def test_every_image_shows_something_that_is_not_the_ground():
    spread = fractals.render("target", 20, 10, **SMALL).astype(float).std((1, 2)).max(1)

    assert spread.min() > 10


def test_classes_look_different_but_pixels_alone_do_not_tell_them_apart():
    classes, train, test = 20, 60, 20
    images = fractals.render("target", classes, train + test, **SMALL)
    pixels = images.reshape(classes, train + test, 16, 2, 16, 2, 3).mean((3, 5))
    # A pixel's distance from the ground's colour, taken from the border, says where the ink is.
    border = np.concatenate([pixels[:, :, 0], pixels[:, :, -1]], 2)
    ink = np.abs(pixels - np.median(border, 2)[:, :, None, None]).mean(-1)
    ink = (ink / ink.mean((2, 3), keepdims=True)).reshape(classes, train + test, -1)

    acc = _nearest_centroid_acc(ink[:, :train], ink[:, train:])

    assert 4 / classes < acc < 0.9


def test_colour_does_not_give_the_class_away():
    classes = 20
    colours = fractals.render("target", classes, 80, **SMALL).mean((1, 2)).reshape(classes, 80, 3)

    acc = _nearest_centroid_acc(colours[:, :60], colours[:, 60:])

    assert acc < 2.5 / classes


def _nearest_centroid_acc(train: np.ndarray, test: np.ndarray) -> float:
    distances = np.linalg.norm(test[:, :, None] - train.mean(1), axis=-1)
    return float((distances.argmin(-1) == np.arange(len(train))[:, None]).mean())


def test_cached_images_are_the_rendered_ones_read_only_and_on_disk(cache):
    images = fractals.cached("source", 2, 3, **SMALL)

    assert isinstance(images, np.memmap)
    assert not images.flags.writeable
    assert np.array_equal(images, fractals.render("source", 2, 3, **SMALL))
    assert [path.suffix for path in cache.iterdir() if path.suffix != ".lock"] == [".npy"]


def test_a_second_call_reads_what_the_first_one_wrote(cache):
    fractals.cached("source", 2, 3, **SMALL)
    [path] = cache.glob("*.npy")
    before = path.stat()
    fractals.cached("source", 2, 3, **SMALL)

    assert (before.st_ino, before.st_mtime_ns) == (path.stat().st_ino, path.stat().st_mtime_ns)


@pytest.mark.parametrize(
    "change", [{"role": "target"}, {"classes": 3}, {"size": 16}, {"seed": 1}, {"start": 2}]
)
def test_any_other_choice_is_another_file(cache, change):
    choices = {"role": "source", "classes": 2, "per_class": 3, "size": 32, "seed": 0, "start": 0}
    fractals.cached(**choices)
    changed = fractals.cached(**choices | change)

    assert len(list(cache.glob("*.npy"))) == 2
    assert np.array_equal(changed, fractals.render(**choices | change))


def test_another_renderer_version_is_another_file(cache, monkeypatch):
    fractals.cached("source", 2, 3, **SMALL)
    monkeypatch.setattr(fractals, "RENDERER_VERSION", fractals.RENDERER_VERSION + 1)
    fractals.cached("source", 2, 3, **SMALL)

    assert len(list(cache.glob("*.npy"))) == 2


@pytest.mark.parametrize(
    "damage",
    [
        lambda whole: b"",
        lambda whole: whole[:20],
        lambda whole: whole[:-1],
        lambda whole: whole + b"\0",
        lambda whole: b"PK\x03\x04" + whole[4:],
        lambda whole: whole.replace(b"|u1", b"|i1"),
        lambda whole: whole.replace(b"(6, 32, 32, 3)", b"(3, 64, 32, 3)"),
    ],
    ids=["empty", "header only", "short", "long", "another format", "other type", "other shape"],
)
def test_a_damaged_file_is_rendered_again(cache, damage):
    fractals.cached("source", 2, 3, **SMALL)
    [path] = cache.glob("*.npy")
    whole = path.read_bytes()
    path.write_bytes(damage(whole))
    images = fractals.cached("source", 2, 3, **SMALL)

    assert np.array_equal(images, fractals.render("source", 2, 3, **SMALL))
    assert whole == path.read_bytes()


def test_two_that_race_render_once(cache, monkeypatch):
    """The second comes while the first one draws. Threads stand for processes, which race nightly:
    the lock is the same."""
    drawn, second, made = [], [], []
    draw = fractals._draw

    def work():
        made.append(fractals.cached("source", 2, 3, **SMALL))

    def watched(*arguments):
        if not second:
            second.append(threading.Thread(target=work))
            second[0].start()
            assert waiting.wait(60)
        drawn.append(arguments)
        return draw(*arguments)

    waiting = threading.Event()
    acquire = paths.FileLock.acquire

    def announced(self, *arguments, **options):
        if second:
            waiting.set()
        return acquire(self, *arguments, **options)

    monkeypatch.setattr(paths.FileLock, "acquire", announced)
    monkeypatch.setattr(fractals, "_draw", watched)
    work()
    second[0].join()
    assert len(drawn) == 2  # of two classes
    assert np.array_equal(*made)


def test_a_writer_that_fails_leaves_nothing_behind(cache, monkeypatch):
    def broken(*_: object) -> np.ndarray:
        raise KeyboardInterrupt

    with monkeypatch.context() as patch:
        patch.setattr(fractals, "_draw", broken)
        with pytest.raises(KeyboardInterrupt):
            fractals.cached("source", 2, 3, **SMALL)

    assert [path for path in cache.iterdir() if path.suffix != ".lock"] == []
    assert isinstance(fractals.cached("source", 2, 3, **SMALL), np.memmap)


def test_without_locks_nothing_is_left_that_others_would_wait_for(cache, monkeypatch, caplog):
    def refuse(*_: object) -> None:
        raise OSError(errno.ENOSYS, "no locks here")

    monkeypatch.setattr(fcntl, "flock", refuse)
    images = fractals.cached("source", 2, 3, **SMALL)
    assert np.array_equal(images, fractals.render("source", 2, 3, **SMALL))
    assert "no locks here" in caplog.text


def test_a_cache_folder_that_cannot_be_written_costs_a_warning_not_the_job(
    tmp_path, monkeypatch, caplog
):
    (tmp_path / "file").write_text("not a folder")
    monkeypatch.setenv("REGRAFT_CACHE", str(tmp_path / "file"))
    images = fractals.cached("source", 2, 3, **SMALL)

    assert not isinstance(images, np.memmap)
    assert not images.flags.writeable
    assert np.array_equal(images, fractals.render("source", 2, 3, **SMALL))
    assert [record.levelname for record in caplog.records] == ["WARNING"]
    assert "REGRAFT_CACHE" in caplog.text


def test_the_cache_stands_in_the_home_folder_when_nothing_else_is_said(tmp_path, monkeypatch):
    monkeypatch.delenv("REGRAFT_CACHE", raising=False)
    monkeypatch.setenv("HOME", str(tmp_path))
    fractals.cached("source", 1, 1, **SMALL)

    assert len(list((tmp_path / ".cache" / "regraft" / "fractals").glob("*.npy"))) == 1
