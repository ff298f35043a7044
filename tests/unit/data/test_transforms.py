import numpy as np
import pytest
import torch
from PIL import Image
from timm.data import create_transform

from regraft.data.formats import EXTENSIONS
from regraft.data.transforms import InputConfig
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


@pytest.mark.parametrize("changes", [{"size": (0, 4)}, {"std": (0.2, 0.2)}, {"crop_pct": 0}])
def test_an_input_that_no_picture_can_be_fitted_to_is_refused(changes):
    [name] = changes
    with pytest.raises(ValueError, match=f"^input: {name} "):
        make_config(**changes)


def noise(*shape):
    return np.random.default_rng(0).integers(0, 256, shape, np.uint8)


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


def test_extensions_are_those_of_pictures_that_need_no_other_program():
    assert {".jpg", ".jpeg", ".png", ".webp", ".bmp", ".tif", ".gif"} <= EXTENSIONS
    assert not {".eps", ".ps", ".pdf", ".mpg", ".h5"} & EXTENSIONS
