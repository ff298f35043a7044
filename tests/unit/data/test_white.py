"""The white of floats and of more than eight bits: one for a set, never that of an image."""

import struct
from dataclasses import replace

import numpy as np
import pytest
from PIL import Image, TiffImagePlugin

from regraft.data.folders import image_folder
from regraft.data.images import Images
from regraft.data.transforms import InputConfig, UnreadableImageError, read_image
from regraft.data.white import MOST, UNSEEN, Whites, measured

INPUT = InputConfig((8, 8), (0.5,) * 3, (0.25,) * 3, "bilinear", 1.0)


@pytest.fixture(autouse=True)
def cache(tmp_path, monkeypatch):
    monkeypatch.setenv("REGRAFT_CACHE", str(tmp_path / "cache"))


def noise(number, top=1.0):
    return np.random.default_rng(number).uniform(0, top, (32, 32))


def put(folder, values, *, suffix=".tif", **options):
    """A file of each array."""
    folder.mkdir(parents=True, exist_ok=True)
    for index, array in enumerate(values):
        Image.fromarray(array).save(folder / f"{index}{suffix}", **options)
    return sorted(folder.iterdir())


def floats(count=20, top=1.0):
    return [noise(index, top).astype(np.float32) for index in range(count)]


def with_one_bright(images, value):
    """The same, of which every other has a pixel above what is white."""
    for image in images[1::2]:
        image[0, 0] = value
    return images


def load(root, white="auto", **changes):
    choices = {"val_fraction": 0.2, "test_fraction": 0.2, "split_seed": 0, "per_class": None}
    choices |= {"fold": None, "folds": 5, "fraction": None}
    choices |= {"on_error": "fail", "follow_links": False, "white": white}
    return image_folder(0, root=str(root), **(choices | changes))


@pytest.mark.parametrize(
    ("top", "bright", "white"),
    [(1.0, 1.02, 1), (255.0, 256.5, 255), (4095.0, 4200.0, 4095), (1000.0, 60_000.0, 1023)],
)
def test_a_bright_pixel_of_some_images_decides_nothing(tmp_path, top, bright, white):
    paths = put(tmp_path / "a", with_one_bright(floats(top=top), bright))
    found = measured(paths, "auto")

    assert found.values == (65535, None, white)
    assert f"floats: {white} (they reach" in found.told
    means = [np.asarray(read_image(path, found.values)).mean() for path in paths]
    assert np.ptp(means) < 15  # some were black


def test_an_image_of_another_kind_decides_nothing(tmp_path):
    images = [*floats(60), *floats(1, top=255.0)]
    assert measured(put(tmp_path / "a", images), "auto").values[2] == 1


@pytest.mark.parametrize(
    ("dtype", "top", "white"),
    [
        (np.uint16, 65535, (65535, None, None)),
        (np.uint16, 4095, (4095, None, None)),
        (np.uint16, 255, (255, None, None)),
        (np.int32, 255, (65535, 255, None)),
        (np.int32, 1_000_000, (65535, pytest.approx(995_000, abs=5000), None)),
    ],
)
def test_integers_have_the_white_that_the_set_reaches(tmp_path, dtype, top, white):
    found = measured(put(tmp_path / "a", [noise(i, top).astype(dtype) for i in range(9)]), "auto")
    assert found.values == white


def test_a_set_may_have_several_kinds_each_with_its_white(tmp_path):
    put(tmp_path / "a", floats(3, 255.0))
    put(tmp_path / "b", [noise(1, 4095).astype(np.uint16)] * 3, suffix=".png")
    paths = sorted(tmp_path.glob("?/*"))
    assert measured(paths, "auto").values == (4095, None, 255)


@pytest.mark.parametrize("tag", [281, 341])  # MaxSampleValue, SMaxSampleValue
def test_a_tag_that_all_images_have_says_what_is_white(tmp_path, tag):
    def tagged(values):
        tags = TiffImagePlugin.ImageFileDirectory_v2()
        tags.tagtype[tag] = 4  # LONG
        tags[tag] = values
        return tags

    dark = [noise(index, 700 + 60 * index).astype(np.uint16) for index in range(4)]
    same = put(tmp_path / "same", dark, tiffinfo=tagged(4095))
    assert measured(same, "auto").values[0] == 4095
    assert "as their tags say" in measured(same, "auto").told
    (tmp_path / "each").mkdir()
    for index, image in enumerate(dark):  # some programs write there what an image reaches
        path = tmp_path / "each" / f"{index}.tif"
        Image.fromarray(image).save(path, tiffinfo=tagged(int(image.max())))
    assert measured(sorted((tmp_path / "each").iterdir()), "auto").values[0] == 1023


def test_twelve_bits_are_known_by_their_tag(tmp_path):
    """As no image of Pillow's is saved: two pixels in three bytes."""
    tags = TiffImagePlugin.ImageFileDirectory_v2()
    tags[256], tags[257], tags[258], tags[259], tags[262], tags[277] = 2, 1, 12, 1, 1, 1
    tags[273], tags[278], tags[279] = 0, 1, 3
    raw = b"II*\0" + struct.pack("<I", 8) + tags.tobytes(8) + bytes([0x7F, 0xF0, 0x10])
    (tmp_path / "a.tif").write_bytes(raw)
    found = measured([tmp_path / "a.tif"], "auto")
    assert found.values[0] == 4095


def test_a_number_is_white_for_all(tmp_path):
    paths = put(tmp_path / "a", floats(3))
    assert measured(paths, 2.0).values == (2.0, 2.0, 2.0)
    assert "floats: 2 (data.white" in measured(paths, 2.0).told
    assert np.asarray(read_image(paths[0], (2.0, 2.0, 2.0))).max() <= 128


def test_eight_bits_know_their_white_and_their_files_are_not_opened(tmp_path, monkeypatch):
    paths = put(tmp_path / "a", [np.full((4, 4, 3), 9, np.uint8)] * 3, suffix=".jpg")
    monkeypatch.setattr("regraft.data.white.Image.open", None)
    assert measured(paths, "auto") == Whites()


@pytest.mark.parametrize("dtype", [np.float32, np.int32])
def test_an_image_of_a_kind_that_its_set_does_not_have_is_a_set_of_its_own(tmp_path, dtype):
    eight_bits = put(tmp_path / "a", [np.full((4, 4, 3), 9, np.uint8)] * 3, suffix=".png")
    known = measured(eight_bits, "auto").values
    assert known == UNSEEN
    [path] = put(tmp_path / "b", [noise(0, 255.0).astype(dtype)])
    assert 120 < np.asarray(read_image(path, known)).mean() < 135  # it was white, or black
    assert measured(eight_bits, 510).values == (510, 510, 510)


def test_pixels_that_are_no_brightness_are_counted(tmp_path):
    images = floats(4)
    images[0][0, :3] = -0.5
    images[1][0, 0], images[1][0, 1], images[1][0, 2] = np.nan, np.inf, -np.inf
    paths = put(tmp_path / "a", images)
    found = measured(paths, "auto")
    assert found.values[2] == 1
    assert found.odd.startswith("3 negative, 1 NaN, 2 infinite of 4,096 pixels, in 2 of 4 images")
    assert np.asarray(read_image(paths[1], found.values))[0, :3, 0].tolist() == [0, 255, 0]
    assert not measured(paths[2:], "auto").odd


@pytest.mark.parametrize("top", [1.0, 255.0, 4095.0])
@pytest.mark.parametrize("dtype", [np.float32, np.int32, np.uint16])
def test_an_image_without_a_set_is_one_of_its_own_and_a_pixel_decides_nothing(tmp_path, dtype, top):
    values = noise(0, top).astype(dtype)
    odd = values.copy()
    odd[0, 0] = 1.02 * top + 1
    same, other = put(tmp_path / "a", [values, odd])
    means = [np.asarray(read_image(path)).mean() for path in (same, other)]
    assert abs(means[0] - means[1]) < 1
    assert means[0] > 100 or (top == 1 and dtype != np.float32)


def test_what_cannot_be_read_is_not_asked(tmp_path):
    paths = put(tmp_path / "a", floats(3))
    paths[0].write_bytes(b"no image")
    assert "2 images looked at" in measured(paths, "auto").told


def test_many_images_are_not_all_looked_at_and_each_is_measured_once(tmp_path, monkeypatch):
    from regraft.data import white

    paths, seen = put(tmp_path / "a", floats(MOST + 40)), []
    look = white._range
    monkeypatch.setattr(white, "_range", lambda path: seen.append(path) or look(path))
    assert f"{MOST} images looked at" in measured(paths, "auto").told
    assert len(seen) == MOST
    assert {paths[0], paths[-1]} <= {*seen}


@pytest.mark.parametrize("dtype", [np.uint16, np.float32])
def test_zero_is_white_where_the_file_says_so(tmp_path, dtype):
    """Pillow turns it round with up to eight bits only."""
    top = 65535 if dtype == np.uint16 else 1
    path = tmp_path / "a.tif"
    Image.fromarray(np.array([[0, top]], dtype)).save(path, tiffinfo={262: 0})
    raw = bytearray(path.read_bytes())
    entry = raw.index(struct.pack("<HHI", 262, 3, 1))
    raw[entry + 8 : entry + 10] = b"\0\0"  # Pillow writes a 1 whatever it is told
    path.write_bytes(raw)
    assert np.asarray(read_image(path))[0, :, 0].tolist() == [255, 0]


# A set of files.


def set_of(root, top=255.0):
    for label, shift in (("a", 0), ("b", 100)):
        put(root / label, [noise(shift + i, top).astype(np.float32) for i in range(10)])
    return root


def test_one_white_for_all_splits_folds_and_sizes(tmp_path):
    root = set_of(tmp_path / "set")
    for changes in ({}, {"fold": 1}, {"per_class": 2}, {"split_seed": 3}):
        source = load(root, **changes)
        assert source.white.values == (65535, None, 255)
        assert "20 images looked at" in source.white.told


def test_white_belongs_to_the_input_and_so_to_every_key(tmp_path):
    root = set_of(tmp_path / "set")
    images = Images(load(root), INPUT, batch_size=4, workers=0)
    assert images.input == replace(INPUT, white=(65535, None, 255))
    pixels = images.datasets["train"][0][0]
    path = images.source.train.images[0]
    assert pixels.equal(images.input.fit(read_image(path, images.input.white)))
    assert 100 < pixels.float().mean() < 150
    brighter = Images(load(root, white=510.0), INPUT, batch_size=4, workers=0)
    assert brighter.datasets["train"][0][0].float().mean() < 80


def test_a_file_that_changed_is_measured_again(tmp_path):
    root = set_of(tmp_path / "set")
    assert load(root).white.values[2] == 255
    set_of(root, top=1.0)
    assert load(root).white.values[2] == 1


@pytest.mark.parametrize("white", [(0, 1, 1), (1, 1), (1, 1, float("inf"))])
def test_a_white_that_cannot_be_is_an_error(white):
    with pytest.raises(ValueError, match="white"):
        replace(INPUT, white=white)


def tiff(path, values, *, planes=1):
    """A TIFF as its standard has it, of kinds that Pillow does not write."""
    height, width, *rest = values.shape
    channels = rest[0] if rest else 1
    data = (values.transpose(2, 0, 1) if planes == 2 else values).tobytes()
    strips = channels if planes == 2 else 1
    begin = 8 + 2 + 11 * 12 + 4
    over = b""

    def entry(tag, kind, numbers):
        nonlocal over
        packed = struct.pack(f"<{len(numbers)}{'HI'[kind == 4]}", *numbers)
        if len(packed) > 4:
            packed, over = struct.pack("<I", begin + len(over)), over + packed
        return struct.pack("<HHI", tag, kind, len(numbers)) + packed.ljust(4, b"\0")

    each = len(data) // strips
    start = begin + (2 * 2 * channels if channels > 2 else 0) + (8 * strips if strips > 1 else 0)
    table = [(256, 3, [width]), (257, 3, [height]), (258, 3, [8 * values.itemsize] * channels)]
    table += [(259, 3, [1]), (262, 3, [2 if channels == 3 else 1])]
    table += [(273, 4, [start + each * n for n in range(strips)]), (277, 3, [channels])]
    table += [(278, 3, [height]), (279, 4, [each] * strips), (284, 3, [planes])]
    table += [(339, 3, [1] * channels)]
    entries = b"".join(entry(*line) for line in table)
    path.write_bytes(b"II*\0\x08\0\0\0" + struct.pack("<H", 11) + entries + b"\0" * 4 + over + data)
    return path


def test_whole_numbers_without_a_sign_are_not_negative(tmp_path):
    values = np.linspace(0, 2**32 - 1, 64).astype(np.uint32).reshape(8, 8)
    path = tiff(tmp_path / "a.tif", values)
    white = measured([path], "auto")
    assert not white.odd
    shown = np.asarray(read_image(path, white.values))[..., 0]
    assert np.abs(shown - values * (255 / 2**32)).max() < 2


def test_planes_of_sixteen_bits_are_refused_and_never_mixed_up(tmp_path):
    values = np.random.default_rng(0).integers(0, 2**16, (8, 8, 3)).astype(np.uint16)
    path = tiff(tmp_path / "a.tif", values, planes=2)
    with pytest.raises(UnreadableImageError, match="3 planes of 16 bits: save it with 8 bits"):
        read_image(path)
    eight = (values >> 8).astype(np.uint8)
    planes = tiff(tmp_path / "b.tif", eight, planes=2)
    assert np.array_equal(np.asarray(read_image(planes)), eight)
