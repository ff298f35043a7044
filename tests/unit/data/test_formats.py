"""Which files are images: by their first bytes and their suffix; what is left out is counted."""

import io
import os

import numpy as np
import pytest
from PIL import Image

from regraft.data import formats
from regraft.data.formats import is_image, kind, why_not_read
from regraft.data.transforms import UnreadableImageError, read_image

heic = pytest.mark.skipif(not formats.READS_HEIC, reason="pillow-heif is not here")


def encoded(form):
    content = io.BytesIO()
    Image.fromarray(np.full((8, 6, 3), 90, np.uint8)).save(content, form)
    return content.getvalue()


FORMS = ["JPEG", "PNG", "GIF", "BMP", "TIFF", "WEBP", "JPEG2000", "AVIF"]


@pytest.mark.parametrize("form", FORMS)
@pytest.mark.parametrize("name", ["photo", "photo.HEIC", "photo.jpg.download", "photo.JPG", "x.7"])
def test_a_picture_is_known_by_its_first_bytes_whatever_it_is_called(form, name, tmp_path):
    path = tmp_path / name
    path.write_bytes(encoded(form))

    assert kind(path) == form
    assert is_image(path)
    assert read_image(path).size == (6, 8)


@pytest.mark.parametrize("name", ["a.JPG", "a.Tiff", "a.png"])
def test_a_suffix_is_enough_and_the_file_is_not_opened(name, tmp_path):
    assert is_image(tmp_path / name)


@pytest.mark.parametrize(
    ("name", "content", "said"),
    [
        ("a.mp4", b"\0\0\0\x18ftypmp42", ".mp4"),
        ("a", b"BM is how this text begins, and it goes on for long", "no suffix"),
        ("a", b"P6 is how this text begins", "no suffix"),
        ("a.bin", b"", ".bin"),
        ("a.svg", b"<?xml version='1.0'?>\n<svg/>", ".svg (SVG)"),
        ("a.psd", b"8BPS\0\1", ".psd (Photoshop)"),
        ("a.jxl", b"\xff\x0a\0", ".jxl (JPEG XL)"),
        ("a.PDF", b"%PDF-1.7", ".pdf (PDF)"),
        ("a.dat", b"<!DOCTYPE html><html>", ".dat (a web page)"),
        (
            "a.dat",
            b"version https://git-lfs.x/spec/v1\n",
            ".dat (a pointer of git-lfs: git lfs pull)",
        ),
        ("a.NEF", encoded("TIFF"), ".nef (raw of a camera: convert it)"),
    ],
)
def test_what_is_no_picture_is_named_by_its_suffix_and_what_it_is(name, content, said, tmp_path):
    path = tmp_path / name
    path.write_bytes(content)

    assert not is_image(path)
    assert why_not_read(path) == said


BACKUPS = ["a.jpg_original", "a.jpg~", "a.bak", "a.THM", "a.jpg.crdownload"]


@pytest.mark.parametrize(
    "name", ["Thumbs.db", "desktop.ini", ".DS_Store", "._a.jpg", "a.txt", *BACKUPS]
)
def test_litter_is_no_image_and_is_not_looked_into(name, tmp_path):
    (tmp_path / name).write_bytes(encoded("JPEG"))

    assert formats.is_litter(name)
    if name != "._a.jpg":  # which others ask by its name for: it is not theirs
        assert not is_image(tmp_path / name)


def test_a_pipe_is_not_waited_for(tmp_path):
    os.mkfifo(tmp_path / "pipe")
    assert not is_image(tmp_path / "pipe")
    what = "no suffix (no file, but a pipe, a socket or a device)"
    assert why_not_read(tmp_path / "pipe") == what


def test_lines_name_what_there_is_and_stay_short():
    line = formats.left_out("class a", 12, [".heic (install pillow-heif)"] * 30)
    assert line == "left out 30 of 42 files of class a: .heic (install pillow-heif)"
    mixed = formats.left_out("class a", 1, [".mp4", ".pdf", ".mp4"])
    assert mixed == "left out 3 of 4 files of class a: 2 .mp4, 1 .pdf"
    assert formats.left_out("class a", 5, []) == ""
    many = formats.left_out("class a", 0, [f".{n}" for n in range(100)])
    assert many.endswith("1 .5, 94 others")


# HEIC, with pillow-heif and without.


@heic
@pytest.mark.parametrize("name", ["a.heic", "a.HEIF", "IMG_1", "a.jpg"])
def test_heic_is_read_upright(name, tmp_path):
    pixels = np.zeros((16, 32, 3), np.uint8)
    pixels[:, :16] = (200, 30, 30)
    exif = Image.Exif()
    exif[0x0112] = 6  # to be turned clockwise
    Image.fromarray(pixels).save(tmp_path / name, "HEIF", exif=exif.tobytes(), quality=95)

    assert is_image(tmp_path / name)
    picture = read_image(tmp_path / name)
    assert picture.size == (16, 32)
    assert np.abs(np.asarray(picture)[3, 8].astype(int) - (200, 30, 30)).max() < 12
    assert np.asarray(picture)[28, 8].max() < 12


@heic
def test_without_pillow_heif_a_heic_names_what_to_install(tmp_path, monkeypatch):
    for name in ("a.heic", "a", "a.jpg"):
        (tmp_path / name).write_bytes(encoded("HEIF"))
    monkeypatch.setattr(formats, "READ", formats.READ - {"HEIC"})
    monkeypatch.setattr(formats, "EXTENSIONS", formats.EXTENSIONS - {".heic"})
    monkeypatch.setattr("regraft.data.transforms.READ", formats.READ)
    monkeypatch.setattr("regraft.data.transforms.PILLOWS", ["JPEG", "PNG"])

    assert not is_image(tmp_path / "a.heic")
    assert not is_image(tmp_path / "a")
    assert why_not_read(tmp_path / "a.heic") == ".heic (install pillow-heif)"
    assert why_not_read(tmp_path / "a") == "no suffix (install pillow-heif)"
    with pytest.raises(
        UnreadableImageError, match="not a readable image: HEIC: install pillow-heif"
    ):
        read_image(tmp_path / "a.jpg")
