import numpy as np
import pytest
import torch
from PIL import Image
from timm.data import create_transform

from regraft.data.transforms import EXTENSIONS, InputConfig, UnreadableImageError, read_image
from regraft.errors import RegraftError


def make_config(**changes):
    choices = {
        "size": (32, 32),
        "mean": (0.5, 0.4, 0.3),
        "std": (0.2, 0.3, 0.4),
        "interpolation": "bicubic",
        "crop_pct": 0.875,
    }
    return InputConfig(**(choices | changes))


def noise(*shape):
    return np.random.default_rng(0).integers(0, 256, shape, np.uint8)


def saved(image, path, **options):
    image.save(path, **options)
    return path


def pixels(path):
    return np.asarray(read_image(path))


@pytest.mark.parametrize("crop_mode", ["center", "squash", "border"])
@pytest.mark.parametrize("interpolation", ["bicubic", "bilinear", "nearest", "lanczos"])
@pytest.mark.parametrize("size", [(32, 32), (32, 48)])
@pytest.mark.parametrize("shape", [(50, 70, 3), (40, 20, 3), (32, 32, 3), (11, 90, 3)])
def test_a_picture_is_fitted_and_normalised_as_timm_does(shape, size, interpolation, crop_mode):
    config = make_config(size=size, interpolation=interpolation, crop_mode=crop_mode)
    timms = create_transform(
        (3, *size),
        mean=config.mean,
        std=config.std,
        interpolation=interpolation,
        crop_pct=config.crop_pct,
        crop_mode=crop_mode,
    )
    image = Image.fromarray(noise(*shape))

    fitted = config.fit(image)
    assert fitted.dtype == torch.uint8
    torch.testing.assert_close(config.normalize(fitted[None])[0], timms(image))


@pytest.mark.parametrize("interpolation", ["bicubic", "bilinear", "lanczos"])
@pytest.mark.parametrize("shape", [(4, 8, 8), (4, 8, 8, 3), (4, 50, 70), (4, 70, 50, 3)])
def test_a_batch_of_arrays_is_fitted_like_its_pictures(shape, interpolation):
    config, images = make_config(interpolation=interpolation), noise(*shape)

    fitted = config.fit(images)
    pictures = torch.stack([config.fit(Image.fromarray(image)) for image in images])
    assert fitted.shape == (4, 3, 32, 32)
    assert fitted.dtype == torch.uint8
    assert fitted.is_contiguous()
    assert (fitted.int() - pictures.int()).abs().max() <= 2  # two resizers, rounding apart


def test_tensors_are_fitted_like_arrays():
    images = noise(3, 20, 20, 3)

    assert make_config().fit(torch.from_numpy(images)).equal(make_config().fit(images))


def test_a_batch_that_is_not_of_bytes_is_refused():
    with pytest.raises(ValueError, match="must be uint8"):
        make_config().fit(np.zeros((2, 8, 8)))


@pytest.mark.parametrize(
    ("change", "message"),
    [({"interpolation": "cubic"}, "'cubic' is none of"), ({"crop_mode": "x"}, "'x' is none of")],
)
def test_an_unknown_word_is_an_error_that_lists_the_known(change, message):
    with pytest.raises(RegraftError, match=message):
        make_config(**change)


def test_a_photo_taken_sideways_is_turned_upright(tmp_path):
    upright = np.zeros((20, 30, 3), np.uint8)
    upright[:, :15] = 255
    exif = Image.Exif()
    exif[0x0112] = 6  # the camera was held so that the picture must be turned clockwise
    sideways = Image.fromarray(np.rot90(upright).copy())
    path = saved(sideways, tmp_path / "a.png", exif=exif)

    assert np.array_equal(pixels(path), upright)


def test_transparency_is_laid_on_white(tmp_path):
    image = np.zeros((4, 4, 4), np.uint8)
    image[0, :, 3] = 255

    for name in ("a.png", "a.webp"):
        path = saved(Image.fromarray(image), tmp_path / name, lossless=True)
        assert pixels(path)[0].max() == 0
        assert pixels(path)[1:].min() == 255


def test_a_palette_keeps_its_colours_and_its_transparency(tmp_path):
    image = Image.new("P", (2, 1))
    image.putpalette([200, 10, 20, 0, 0, 0])
    image.putdata([0, 1])

    opaque = pixels(saved(image, tmp_path / "a.png"))
    assert opaque.tolist() == [[[200, 10, 20], [0, 0, 0]]]
    holed = pixels(saved(image, tmp_path / "a.gif", transparency=1))
    assert holed.tolist() == [[[200, 10, 20], [255, 255, 255]]]


@pytest.mark.parametrize("name", ["a.png", "a.tif"])
def test_sixteen_bits_become_eight_without_clipping(tmp_path, name):
    grey = np.array([[0, 257, 25700, 65535]], np.uint16)
    path = saved(Image.fromarray(grey), tmp_path / name)

    assert pixels(path)[0].tolist() == [[0] * 3, [1] * 3, [100] * 3, [255] * 3]


@pytest.mark.parametrize("top", [1, 255, 65535])
def test_floats_keep_their_range(tmp_path, top):
    path = saved(Image.fromarray(np.array([[0, top]], np.float32)), tmp_path / "a.tif")

    assert pixels(path)[0].tolist() == [[0] * 3, [255] * 3]


def test_cmyk_grey_and_bilevel_become_rgb(tmp_path):
    cmyk = pixels(saved(Image.new("CMYK", (4, 4), (0, 255, 255, 0)), tmp_path / "a.jpg"))
    assert cmyk.shape == (4, 4, 3)
    assert cmyk[0, 0, 0] > 200 > 50 > cmyk[0, 0, 1:].max()
    assert pixels(saved(Image.new("L", (1, 1), 77), tmp_path / "b.png")).tolist() == [[[77] * 3]]
    assert pixels(saved(Image.new("1", (1, 1), 1), tmp_path / "c.png")).tolist() == [[[255] * 3]]
    assert pixels(saved(Image.new("LA", (1, 1), (9, 0)), tmp_path / "d.png")).min() == 255


def test_the_first_picture_of_an_animation_counts(tmp_path):
    frames = [Image.new("RGB", (2, 2), colour) for colour in ("red", "blue")]
    path = tmp_path / "a.gif"
    frames[0].save(path, save_all=True, append_images=frames[1:])

    assert pixels(path)[0, 0].tolist() == [255, 0, 0]


def test_a_file_is_judged_by_its_content(tmp_path):
    path = saved(Image.new("RGB", (2, 2), "red"), tmp_path / "a.jpg", format="PNG")

    assert pixels(path)[0, 0].tolist() == [255, 0, 0]


@pytest.mark.parametrize("content", [b"", b"not an image", b"%!PS-Adobe-3.0 EPSF-3.0\n"])
def test_a_file_without_an_image_is_named_in_one_line(tmp_path, content):
    path = tmp_path / "two\nlines.jpg"
    path.write_bytes(content)

    with pytest.raises(UnreadableImageError, match=r"lines\.jpg': not a readable.*delete") as info:
        read_image(path)
    assert len(str(info.value).splitlines()) == 1


def test_a_truncated_file_is_named(tmp_path):
    path = saved(Image.fromarray(noise(64, 64, 3)), tmp_path / "short.jpg")
    path.write_bytes(path.read_bytes()[:700])

    with pytest.raises(UnreadableImageError, match=r"short\.jpg': not a readable image"):
        read_image(path)


def test_a_file_that_went_away_is_named(tmp_path):
    with pytest.raises(UnreadableImageError, match=r"gone\.png': no such file"):
        read_image(tmp_path / "gone.png")


def test_extensions_are_those_of_pictures_that_need_no_other_program():
    assert {".jpg", ".jpeg", ".png", ".webp", ".bmp", ".tif", ".gif"} <= EXTENSIONS
    assert not {".eps", ".ps", ".pdf", ".mpg", ".h5"} & EXTENSIONS
