"""Images as people have them: every mode and format, turned, damaged, huge, tiny, misnamed."""

import os
import struct
import warnings
import zlib

import numpy as np
import pytest
import torch
from families import FAMILIES
from PIL import Image
from PIL.TiffImagePlugin import ImageFileDirectory_v2
from timm.data import create_transform

from regraft.backbone import Backbone
from regraft.data import transforms
from regraft.data.transforms import InputConfig, UnreadableImageError, read_image, to_rgb

INPUT = InputConfig((32, 32), (0.5, 0.4, 0.3), (0.2, 0.3, 0.4), "bicubic", 0.875)
ORIENTATION = 0x0112
FRAMES = [Image.new("RGB", (2, 2), colour) for colour in ("red", "blue")]


def noise(*shape):
    return np.random.default_rng(0).integers(0, 256, shape, np.uint8)


def saved(image, path, **options):
    image.save(path, **options)
    return path


def pixels(path):
    return np.asarray(read_image(path))


def row(path):
    """The pixels of an image of one row."""
    [found] = pixels(path).tolist()
    return found


def complaint(path):
    with pytest.raises(UnreadableImageError) as info:
        read_image(path)
    message = str(info.value)
    assert len(message.splitlines()) == 1
    assert message.startswith(repr(str(path)))
    return message


def png(path, size, depth, colour, rows, *chunks):
    """A PNG file as no picture of Pillow's is saved; `rows` are raw bytes."""
    header = struct.pack(">IIBBBBB", *size, depth, colour, 0, 0, 0)
    packed = zlib.compress(b"".join(b"\0" + row for row in rows), 9)
    blob = b"\x89PNG\r\n\x1a\n"
    for kind, data in ((b"IHDR", header), *chunks, (b"IDAT", packed), (b"IEND", b"")):
        checked = struct.pack(">I", zlib.crc32(kind + data))
        blob += struct.pack(">I", len(data)) + kind + data + checked
    path.write_bytes(blob)
    return path


def tiff(path, values):
    """Colours of 16 bits, uint16 (h, w, 3), as a TIFF file."""
    data = values.astype("<u2").tobytes()
    tags = ImageFileDirectory_v2()
    tags[256], tags[257], tags[258] = values.shape[1], values.shape[0], (16, 16, 16)
    tags[259], tags[262], tags[277] = 1, 2, 3  # not compressed, RGB, three channels
    tags[273], tags[278], tags[279] = 0, values.shape[0], len(data)  # one strip, after the tags
    path.write_bytes(b"II*\0" + struct.pack("<I", 8) + tags.tobytes(8) + data)
    return path


# Modes.


def test_transparency_is_laid_on_white(tmp_path):
    image = np.zeros((4, 4, 4), np.uint8)
    image[0, :, 3] = 255

    for name in ("a.png", "a.webp"):
        path = saved(Image.fromarray(image), tmp_path / name, lossless=True)
        assert pixels(path)[0].max() == 0
        assert pixels(path)[1:].min() == 255


def test_what_is_half_transparent_is_half_white(tmp_path):
    rgba = saved(Image.new("RGBA", (1, 1), (200, 0, 0, 128)), tmp_path / "a.png")
    grey = saved(Image.new("LA", (1, 1), (0, 128)), tmp_path / "b.png")

    assert row(rgba) == [[227, 127, 127]]
    assert row(grey) == [[127] * 3]


def test_a_palette_keeps_its_colours_and_its_transparency(tmp_path):
    image = Image.new("P", (2, 1))
    image.putpalette([200, 10, 20, 0, 0, 0])
    image.putdata([0, 1])

    opaque = saved(image, tmp_path / "a.png")
    assert row(opaque) == [[200, 10, 20], [0, 0, 0]]
    holed = saved(image, tmp_path / "a.gif", transparency=1)
    assert row(holed) == [[200, 10, 20], [255, 255, 255]]
    several = saved(image, tmp_path / "b.png", transparency=bytes([255, 0]))
    assert row(several) == [[200, 10, 20], [255, 255, 255]]


@pytest.mark.parametrize("mode", ["L", "RGB"])
def test_one_colour_may_be_transparent(tmp_path, mode):
    image = Image.fromarray(np.array([[7, 9]], np.uint8)).convert(mode)
    path = saved(image, tmp_path / "a.png", transparency=9 if mode == "L" else (9, 9, 9))

    assert row(path) == [[7] * 3, [255] * 3]


@pytest.mark.parametrize("name", ["a.png", "a.tif"])
def test_sixteen_bits_become_eight_without_clipping(tmp_path, name):
    grey = np.array([[0, 257, 25700, 65535]], np.uint16)
    path = saved(Image.fromarray(grey), tmp_path / name)

    assert row(path) == [[0] * 3, [1] * 3, [100] * 3, [255] * 3]


def test_colours_of_sixteen_bits_become_eight(tmp_path):
    values = np.array([[[0, 257, 65535], [25700, 0, 0]]], np.uint16)
    as_png = png(tmp_path / "a.png", (2, 1), 16, 2, [values.astype(">u2").tobytes()])

    assert row(as_png) == [[0, 1, 255], [100, 0, 0]]
    assert row(tiff(tmp_path / "a.tif", values)) == [[0, 1, 255], [100, 0, 0]]


@pytest.mark.parametrize("top", [1, 255, 65535])
def test_floats_keep_their_range(tmp_path, top):
    path = saved(Image.fromarray(np.array([[0, top]], np.float32)), tmp_path / "a.tif")

    assert row(path) == [[0] * 3, [255] * 3]


def test_cmyk_grey_and_bilevel_become_rgb(tmp_path):
    cmyk = pixels(saved(Image.new("CMYK", (4, 4), (0, 255, 255, 0)), tmp_path / "a.jpg"))
    assert cmyk.shape == (4, 4, 3)
    assert cmyk[0, 0, 0] > 200 > 50 > cmyk[0, 0, 1:].max()
    assert row(saved(Image.new("L", (1, 1), 77), tmp_path / "b.png")) == [[77] * 3]
    assert row(saved(Image.new("1", (1, 1), 1), tmp_path / "c.png")) == [[255] * 3]
    assert row(saved(Image.new("LA", (1, 1), (9, 0)), tmp_path / "d.png")) == [[255] * 3]


@pytest.mark.parametrize("family", FAMILIES)
@torch.no_grad()
def test_grey_goes_through_every_backbone(family, tmp_path):
    name, size = FAMILIES[family]
    torch.manual_seed(0)
    backbone = Backbone(name=name, size=size).eval()
    grey = noise(2, size, size)
    paths = [saved(Image.fromarray(image), tmp_path / f"{i}.png") for i, image in enumerate(grey)]
    pictures = torch.stack([backbone.input.fit(read_image(path)) for path in paths])
    for batch in (pictures, backbone.input.fit(grey)):
        assert batch.equal(batch[:, :1].expand(-1, 3, -1, -1))
        features = backbone(backbone.input.normalize(batch))

        assert features.shape == (2, backbone.out_features)
        assert features.isfinite().all()


def test_sixteen_bits_may_have_a_transparent_value(tmp_path):
    rows = [np.array([257, 25700], ">u2").tobytes()]
    path = png(tmp_path / "a.png", (2, 1), 16, 0, rows, (b"tRNS", struct.pack(">H", 257)))
    assert row(path) == [[255] * 3, [100] * 3]


# Metadata that Pillow refuses to unpack, or to read: every viewer shows the picture.

TEXT = b"workflow\0\1\0\0\0" + zlib.compress(b"x" * 3_000_000)
METADATA = {
    "a long text": (b"iTXt", TEXT),
    "a long compressed text": (b"zTXt", b"a\0\0" + zlib.compress(b"x" * 3_000_000)),
    "a large profile": (b"iCCP", b"icc\0\0" + zlib.compress(bytes(range(256)) * 8192)),
}


@pytest.mark.parametrize("where", ["before", "after"])
@pytest.mark.parametrize("metadata", METADATA)
def test_metadata_keeps_nobody_from_the_pixels_of_a_png(tmp_path, metadata, where):
    path = png(tmp_path / "a.png", (2, 1), 8, 0, [b"\5\t"], METADATA[metadata])
    if where == "after" and metadata != "a large profile":
        name, data = METADATA[metadata]
        one = struct.pack(">I", len(data)) + name + data
        one += struct.pack(">I", zlib.crc32(name + data))
        content = path.read_bytes()
        assert content.count(one) == 1
        path.write_bytes(content.replace(one, b"")[:-12] + one + content[-12:])

    assert row(path) == [[5] * 3, [9] * 3]


def test_turned_palettes_with_large_metadata_keep_orientation_and_transparency(tmp_path):
    exif = Image.Exif()
    exif[ORIENTATION] = 3
    chunks = [
        METADATA["a long text"],
        (b"eXIf", exif.tobytes()[6:]),
        (b"PLTE", bytes([200, 10, 20, 0, 0, 0])),
        (b"tRNS", bytes([255, 0])),
    ]
    path = png(tmp_path / "a.png", (2, 1), 8, 3, [b"\0\1"], *chunks)
    assert row(path) == [[255, 255, 255], [200, 10, 20]]


def test_a_damaged_text_keeps_nobody_from_the_pixels(tmp_path):
    path = png(tmp_path / "a.png", (2, 1), 8, 0, [b"\5\t"], (b"tEXt", b"a\0b"))
    path.write_bytes(path.read_bytes().replace(b"a\0b", b"a\0c"))  # its checksum is another one
    assert row(path) == [[5] * 3, [9] * 3]


def test_what_is_cut_off_stays_so_without_its_metadata(tmp_path):
    rows = [noise(64).tobytes() for _ in range(64)]
    path = png(tmp_path / "a.png", (64, 64), 8, 0, rows, METADATA["a long text"])
    content = path.read_bytes()
    path.write_bytes(content[: len(content) - 40])
    path.write_bytes(content[: content.index(b"IDAT") + 20])
    assert "image file is truncated" in complaint(path)


# Formats.


@pytest.mark.parametrize("name", ["a.gif", "a.webp", "a.png", "a.tif"])
def test_the_first_picture_of_several_counts(tmp_path, name):
    path = tmp_path / name
    FRAMES[0].save(path, save_all=True, append_images=FRAMES[1:], lossless=True)
    with Image.open(path) as image:
        assert image.n_frames == 2

    assert pixels(path)[0, 0].tolist() == [255, 0, 0]


def test_a_file_is_judged_by_its_content(tmp_path):
    path = saved(FRAMES[0], tmp_path / "a.jpg", format="PNG")

    assert pixels(path)[0, 0].tolist() == [255, 0, 0]


def of_channels(path, values, kind, bits):
    """A TIFF as Pillow writes none: channels of any type."""
    data, channels = values.tobytes(), values.shape[2] if values.ndim == 3 else 1
    tags = ImageFileDirectory_v2()
    tags[256], tags[257], tags[258] = values.shape[1], values.shape[0], (bits,) * channels
    tags[259], tags[262], tags[277], tags[339] = 1, 1, channels, (kind,) * channels
    tags[273], tags[278], tags[279] = 0, values.shape[0], len(data)
    path.write_bytes(b"II*\0" + struct.pack("<I", 8) + tags.tobytes(8) + data)
    return path


@pytest.mark.parametrize(
    ("values", "kind", "bits", "said"),
    [
        (np.ones((2, 2, 3), "<f4"), 3, 32, "a TIFF of 3 channels of 32 float bits"),
        (np.ones((2, 2), "<f8"), 3, 64, "a TIFF of 1 channel of 64 float bits"),
        (np.ones((2, 2, 5), "<u2"), 1, 16, "a TIFF of 5 channels of 16 bits"),
    ],
)
def test_a_tiff_that_is_not_read_is_named_by_its_kind(tmp_path, values, kind, bits, said):
    assert f"{said}: save it with 8 bits" in complaint(
        of_channels(tmp_path / "a.tif", values, kind, bits)
    )


@pytest.mark.parametrize(
    ("content", "said"),
    [
        (b"<!DOCTYPE html><html></html>", "it is a web page"),
        (b"version https://git-lfs.x/spec/v1", "it is a pointer of git-lfs: git lfs pull"),
        (b"<svg></svg>", "it is SVG"),
        (b"%PDF-1.7", "it is PDF"),
        (b"8BPS\0\1", "it is Photoshop"),
        (b"GIF89a", "it begins as GIF, and is cut off or damaged"),
    ],
)
def test_what_is_called_an_image_and_is_none_is_named(tmp_path, content, said):
    (tmp_path / "a.jpg").write_bytes(content)
    assert f"a.jpg': not a readable image: {said} (Unid" in complaint(tmp_path / "a.jpg")


def test_a_tiff_whose_tags_are_cut_off_is_truncated(tmp_path):
    path = saved(Image.fromarray(noise(64, 64, 3)), tmp_path / "a.tif", compression="tiff_lzw")
    path.write_bytes(path.read_bytes()[:-100])
    assert "image file is truncated" in complaint(path)


# Photographs that were taken sideways, and other tags.

STORED = {
    1: lambda upright: upright,
    2: lambda upright: upright[:, ::-1],
    3: lambda upright: upright[::-1, ::-1],
    4: lambda upright: upright[::-1],
    5: lambda upright: upright.swapaxes(0, 1),
    6: lambda upright: np.rot90(upright, 1),  # the camera was held so that it is turned clockwise
    7: lambda upright: np.rot90(upright, 2).swapaxes(0, 1),
    8: lambda upright: np.rot90(upright, -1),
}


@pytest.mark.parametrize("name", ["a.png", "a.webp", "a.tif"])
@pytest.mark.parametrize("orientation", STORED)
def test_a_photo_is_turned_upright_once(tmp_path, orientation, name):
    upright = noise(20, 30, 3)
    exif = Image.Exif()
    exif[ORIENTATION] = orientation
    stored = Image.fromarray(STORED[orientation](upright).copy())
    path = saved(stored, tmp_path / name, exif=exif, lossless=True)

    assert np.array_equal(pixels(path), upright)
    expected = INPUT.fit(Image.fromarray(upright))
    assert INPUT.fit(read_image(path)).equal(expected)
    with Image.open(path) as image:
        assert INPUT.fit(image).equal(expected)
        assert INPUT.fit(to_rgb(image)).equal(expected)


def test_a_turned_photo_keeps_its_transparency(tmp_path):
    image = Image.new("P", (2, 1))
    image.putpalette([200, 10, 20, 0, 0, 0])
    image.putdata([0, 1])
    exif = Image.Exif()
    exif[ORIENTATION] = 3
    path = saved(image, tmp_path / "a.png", exif=exif, transparency=1)

    assert row(path) == [[255, 255, 255], [200, 10, 20]]


def sideways_with(tag):
    """EXIF that says 6, big-endian, and one more tag: its 12 bytes."""
    orientation = struct.pack(">HHIHH", ORIENTATION, 3, 1, 6, 0)
    return b"Exif\0\0MM\0*" + struct.pack(">IH", 8, 2) + orientation + tag + bytes(4)


DAMAGED = {
    "no tags": (b"Exif\0\0garbage", False),
    "cut off": (b"Exif\0\0II*\0\x08\0\0\0\x05\0", False),
    "a tag that lies beyond the end": (
        sideways_with(struct.pack(">HHII", 0x010F, 2, 99, 4096)),
        True,
    ),
    "a tag that Pillow cannot write": (
        sideways_with(struct.pack(">HHIHH", 0x010F, 3, 2, 7, 7)),
        True,
    ),
}


@pytest.mark.parametrize("mode", ["RGB", "L"])
@pytest.mark.parametrize("name", ["a.png", "a.webp", "a.jpg"])
@pytest.mark.parametrize("damage", DAMAGED)
def test_damaged_tags_keep_nobody_from_the_pixels(tmp_path, damage, name, mode, recwarn):
    exif, turned = DAMAGED[damage]
    path = saved(Image.new(mode, (3, 2)), tmp_path / name, exif=exif)

    with warnings.catch_warnings(action="always"):
        picture = read_image(path)
        INPUT.fit(picture)
    assert picture.size == ((2, 3) if turned else (3, 2))
    assert not recwarn


# Sizes.


@pytest.mark.parametrize("size", [(20000, 2), (2, 20000)])
@pytest.mark.parametrize("crop_mode", ["center", "squash"])
def test_a_line_is_fitted_as_timm_does(size, crop_mode):
    image = Image.fromarray(noise(size[1], size[0], 3))
    config = InputConfig((16, 16), (0.5,) * 3, (0.2,) * 3, "bicubic", 0.875, crop_mode)
    timms = create_transform(
        (3, 16, 16),
        mean=config.mean,
        std=config.std,
        interpolation="bicubic",
        crop_pct=0.875,
        crop_mode=crop_mode,
    )

    torch.testing.assert_close(config.normalize(config.fit(image)[None])[0], timms(image))


@pytest.mark.parametrize("size", [(20000, 2), (2, 20000), (20001, 1)])
def test_a_line_is_not_resized_to_gigabytes(size, tmp_path, monkeypatch):
    """It took eight seconds and three gigabytes."""
    resize, made = transforms.functional.resize, []

    def watched(*arguments, **options):
        made.append(resize(*arguments, **options))
        return made[-1]

    monkeypatch.setattr(transforms.functional, "resize", watched)
    path = saved(Image.new("RGB", size, "red"), tmp_path / "a.png")
    config = InputConfig((224, 224), (0.5,) * 3, (0.2,) * 3, "bicubic", 0.875)
    for images in (read_image(path), pixels(path)[None]):
        fitted = config.fit(images)
        assert fitted.shape[-3:] == (3, 224, 224)
        assert fitted.movedim(-3, -1).reshape(-1, 3).unique(dim=0).tolist() == [[255, 0, 0]]
    assert len(made) == 2
    for resized in made:
        _, height, width = transforms.functional.get_dimensions(resized)
        assert height * width < 5_000_000


@pytest.mark.parametrize("size", [(20000, 2), (2, 20000)])
def test_a_line_that_is_padded_keeps_one_row_of_pixels(size):
    config = InputConfig((16, 16), (0.5,) * 3, (0.2,) * 3, "bicubic", 1.0, "border")
    fitted = config.fit(Image.new("RGB", size, "white"))

    assert (fitted == 255).sum() == 3 * 16
    assert (fitted == 128).sum() == 3 * 16 * 15


@pytest.mark.parametrize("crop_mode", ["center", "squash", "border"])
@pytest.mark.parametrize("name", ["a.png", "a.gif", "a.tif", "a.bmp"])
def test_a_single_pixel_fills_the_picture(tmp_path, name, crop_mode):
    path = saved(Image.new("RGB", (1, 1), "red"), tmp_path / name)
    config = InputConfig((16, 16), (0.5,) * 3, (0.2,) * 3, "bicubic", 1.0, crop_mode)
    for images in (read_image(path), pixels(path)[None]):
        fitted = config.fit(images)
        assert (fitted == torch.tensor([255, 0, 0], dtype=torch.uint8).view(3, 1, 1)).all()


def test_a_decompression_bomb_is_named_and_not_read(tmp_path):
    edge = 14000
    path = png(tmp_path / "a.png", (edge, edge), 1, 0, [bytes(edge // 8)] * edge)

    assert edge**2 > 2 * Image.MAX_IMAGE_PIXELS
    assert path.stat().st_size < 100_000
    assert complaint(path).endswith(
        "196,000,000 pixels, more than the 120,000,000 that are read (DecompressionBombError); "
        "make it smaller or delete it, "
        "or leave such files out from the start with data.on_error=skip"
    )


def test_our_own_limit_is_below_pillows(tmp_path, monkeypatch):
    assert transforms.MOST_PIXELS < 2 * Image.MAX_IMAGE_PIXELS
    monkeypatch.setattr(transforms, "MOST_PIXELS", 1000)
    path = saved(Image.new("1", (40, 40), 1), tmp_path / "a.png")
    assert "1,600 pixels, more than the 1,000 that are read" in complaint(path)


@pytest.mark.parametrize("action", ["always", "error"])
def test_a_large_image_is_read_without_a_word(tmp_path, monkeypatch, action, recwarn):
    monkeypatch.setattr(Image, "MAX_IMAGE_PIXELS", 1000)  # the real one takes seconds and 0.5 GB
    path = saved(Image.new("1", (40, 40), 1), tmp_path / "a.png")

    with warnings.catch_warnings(action=action):
        assert pixels(path).shape == (40, 40, 3)
    assert not recwarn


# Files that hold no image.


@pytest.mark.parametrize("content", [b"", b"not an image", b"%!PS-Adobe-3.0 EPSF-3.0\n"])
def test_a_file_without_an_image_is_named_in_one_line(tmp_path, content):
    path = tmp_path / "two\nlines.jpg"
    path.write_bytes(content)

    assert complaint(path).endswith(
        r"two\nlines.jpg': not a readable image (UnidentifiedImageError); "
        "repair the file or delete it, or leave such files out from the start with "
        "data.on_error=skip"
    )


@pytest.mark.parametrize("part", [0.05, 0.5, 0.95])
@pytest.mark.parametrize("name", ["a.jpg", "a.png", "a.webp", "a.tif", "a.gif"])
def test_a_truncated_file_is_named(tmp_path, name, part):
    path = saved(Image.fromarray(noise(64, 64, 3)), tmp_path / name)
    whole = path.read_bytes()
    path.write_bytes(whole[: int(part * len(whole))])

    assert f"{name}': not a readable image" in complaint(path)


def test_a_file_that_went_away_is_named(tmp_path):
    assert "gone.png': no such file" in complaint(tmp_path / "gone.png")


def test_a_link_that_leads_nowhere_is_named(tmp_path):
    (tmp_path / "a.png").symlink_to(tmp_path / "gone")
    assert "a.png': no such file" in complaint(tmp_path / "a.png")


def test_a_link_to_itself_is_named(tmp_path):
    (tmp_path / "a.png").symlink_to(tmp_path / "a.png")
    assert "a.png': not a readable image (OSError)" in complaint(tmp_path / "a.png")


@pytest.mark.skipif(os.name == "nt" or os.geteuid() == 0, reason="root may read everything")
def test_a_file_that_may_not_be_read_is_named(tmp_path):
    path = saved(FRAMES[0], tmp_path / "a.png")
    path.chmod(0)
    assert "a.png': not a readable image (PermissionError)" in complaint(path)
