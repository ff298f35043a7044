"""DICOM as its viewers show it: windows, slopes, LUTs, MONOCHROME1; never by one image's range."""

import numpy as np
import pytest

pydicom = pytest.importorskip("pydicom")
from pydicom.data import get_testdata_file  # noqa: E402
from pydicom.dataset import Dataset, FileDataset, FileMetaDataset  # noqa: E402
from pydicom.uid import ExplicitVRLittleEndian  # noqa: E402

from regraft.data import formats, transforms  # noqa: E402
from regraft.data.folders import image_folder  # noqa: E402
from regraft.data.formats import is_image, why_not_read  # noqa: E402
from regraft.data.transforms import UnreadableImageError, read_image  # noqa: E402


def written(path, values, **tags):
    """Grey values uint16 or int16 (h, w), or colours uint8 (h, w, 3), as a DICOM file."""
    meta = FileMetaDataset()
    meta.TransferSyntaxUID = ExplicitVRLittleEndian
    file = FileDataset(str(path), {}, file_meta=meta, preamble=b"\0" * 128)
    colours = values.ndim == 3
    file.Rows, file.Columns = values.shape[:2]
    file.SamplesPerPixel = 3 if colours else 1
    file.PhotometricInterpretation = "RGB" if colours else "MONOCHROME2"
    if colours:
        file.PlanarConfiguration = 0
    file.BitsAllocated = values.dtype.itemsize * 8
    file.BitsStored = file.BitsAllocated
    file.PixelRepresentation = int(values.dtype.kind == "i")
    file.PixelData = values.tobytes()
    for name, value in tags.items():
        setattr(file, name, value)
    file.HighBit = file.BitsStored - 1
    file.save_as(path, enforce_file_format=False)
    return path


def row(path):
    [found] = np.asarray(read_image(path))[:, :, 0].tolist()
    return found


TWELVE = np.array([[0, 1000, 2048, 4095]], np.uint16)


def test_without_a_window_the_bits_that_are_stored_are_black_to_white(tmp_path):
    assert row(written(tmp_path / "a.dcm", TWELVE, BitsStored=12)) == [0, 62, 128, 255]
    assert row(written(tmp_path / "b.dcm", TWELVE // 16, BitsStored=12)) == [0, 4, 8, 16]
    signed = np.array([[-2048, 0, 2047]], np.int16)
    assert row(written(tmp_path / "c.dcm", signed, BitsStored=12)) == [0, 128, 255]


def test_a_window_is_followed_and_of_several_the_first(tmp_path):
    window = {"WindowCenter": 1000.5, "WindowWidth": 1001, "BitsStored": 12}
    edges = np.array([[0, 500, 1000, 1500, 4095]], np.uint16)
    assert row(written(tmp_path / "a.dcm", edges, **window)) == [0, 0, 128, 255, 255]
    several = {"WindowCenter": [1000.5, 40], "WindowWidth": [1001, 80], "BitsStored": 12}
    assert row(written(tmp_path / "b.dcm", edges, **several)) == [0, 0, 128, 255, 255]


def test_a_window_is_of_what_slope_and_intercept_make(tmp_path):
    """Hounsfield units: 40 wide 400 is the window of soft tissue."""
    values = np.array([[0, 824, 1064, 1264, 4000]], np.uint16)
    path = written(
        tmp_path / "a.dcm",
        values,
        BitsStored=12,
        RescaleSlope=1,
        RescaleIntercept=-1024,
        WindowCenter=40,
        WindowWidth=400,
    )
    assert row(path) == [0, 0, 128, 255, 255]


def test_a_falling_slope_keeps_low_values_dark(tmp_path):
    slope = {"RescaleSlope": -1, "RescaleIntercept": 4095, "BitsStored": 12}
    assert row(written(tmp_path / "a.dcm", TWELVE, **slope)) == [255, 193, 127, 0]
    slope |= {"WindowCenter": 2048, "WindowWidth": 4096}
    assert row(written(tmp_path / "b.dcm", TWELVE, **slope)) == [255, 193, 127, 0]


def test_a_ct_without_a_window_has_the_range_of_hounsfield_units(tmp_path):
    values = np.array([[-1024, 0, 1024, 3071]], np.int16)
    path = written(tmp_path / "a.dcm", values, Modality="CT")
    assert row(path) == [0, 64, 128, 255]


def test_monochrome1_is_turned_round(tmp_path):
    film = {"PhotometricInterpretation": "MONOCHROME1", "BitsStored": 12}
    assert row(written(tmp_path / "a.dcm", TWELVE, **film)) == [255, 193, 127, 0]
    film |= {"WindowCenter": 1000.5, "WindowWidth": 1001}
    assert row(written(tmp_path / "b.dcm", TWELVE, **film)) == [255, 128, 0, 0]


def test_a_voi_lut_goes_before_a_window(tmp_path):
    lut = Dataset()
    lut.add_new("LUTDescriptor", "US", [4, 0, 8])
    lut.add_new("LUTData", "OW", np.array([0, 255, 10, 200], np.uint16).tobytes())
    values = np.array([[0, 1, 2, 3]], np.uint16)
    path = written(tmp_path / "a.dcm", values, VOILUTSequence=[lut], WindowCenter=2, WindowWidth=2)
    assert row(path) == [0, 255, 10, 200]


def test_a_window_without_numbers_is_none(tmp_path):
    path = written(tmp_path / "a.dcm", TWELVE, BitsStored=12, WindowCenter="", WindowWidth="")
    assert row(path) == [0, 62, 128, 255]


def test_a_window_may_lie_with_the_frames(tmp_path):
    voi, group = Dataset(), Dataset()
    voi.WindowCenter, voi.WindowWidth = 1000.5, 1001
    group.FrameVOILUTSequence = [voi]
    shared = {"SharedFunctionalGroupsSequence": [group]}
    edges = np.array([[0, 500, 1000, 1500]], np.uint16)
    assert row(written(tmp_path / "a.dcm", edges, BitsStored=12, **shared)) == [0, 0, 128, 255]


def test_colours_are_kept(tmp_path):
    colours = np.array([[[200, 10, 30], [0, 255, 0]]], np.uint8)
    assert np.array_equal(np.asarray(read_image(written(tmp_path / "a.dcm", colours))), colours)


SHARED = ["examples_palette.dcm", "examples_ybr_color.dcm", "MR_small_RLE.dcm", "JPEG2000.dcm"]


@pytest.mark.parametrize("name", [*SHARED, "MR_small_bigendian.dcm", "SC_rgb_jpeg_dcmtk.dcm"])
def test_the_coded_files_that_pydicom_brings_are_read(name):
    pixels = np.asarray(read_image(get_testdata_file(name, download=False)))
    assert pixels.max() > pixels.min()


@pytest.mark.parametrize("name", ["slice", "slice.jpg", "IM000001", "a.1.2.840"])
def test_a_file_is_known_by_its_first_bytes(name, tmp_path):
    path = written(tmp_path / name, TWELVE, BitsStored=12)
    assert is_image(path)
    assert row(path) == [0, 62, 128, 255]


@pytest.mark.parametrize(
    ("change", "said"),
    [
        (lambda path: path.write_bytes(b"no DICOM at all"), "no picture is in this DICOM file"),
        (lambda path: path.write_bytes(path.read_bytes()[:-4]), "image file is truncated"),
        (lambda path: written(path, TWELVE, Rows=20_000, Columns=20_000), "400,000,000 pixels"),
        (lambda path: written(path, TWELVE, WindowCenter=1, WindowWidth=0.5), "DICOM: The "),
    ],
)
def test_what_holds_no_picture_is_one_line(change, said, tmp_path):
    path = written(tmp_path / "a.dcm", TWELVE)
    change(path)
    with pytest.raises(UnreadableImageError) as info:
        read_image(path)
    assert said in str(info.value)
    assert len(str(info.value).splitlines()) == 1


def test_without_pydicom_it_is_named_what_to_install(tmp_path, monkeypatch):
    for label in ("a", "b"):
        (tmp_path / label).mkdir()
        written(tmp_path / label / "0", TWELVE)
        written(tmp_path / label / "1.dcm", TWELVE)
    monkeypatch.setattr(formats, "READ", formats.READ - {"DICOM"})
    monkeypatch.setattr(formats, "EXTENSIONS", formats.EXTENSIONS - formats.DICOM_SUFFIXES)
    monkeypatch.setattr("regraft.data.dicom.READS_DICOM", False)

    assert why_not_read(tmp_path / "a" / "0") == "no suffix (install pydicom)"
    assert why_not_read(tmp_path / "a" / "1.dcm") == ".dcm (install pydicom)"
    with pytest.raises(UnreadableImageError, match="install pydicom"):
        read_image(tmp_path / "a" / "1.dcm")
    with pytest.raises(Exception, match=r"holds no images, but 2 no suffix \(install pydicom\), 2"):
        image_folder(
            0,
            root=str(tmp_path),
            on_error="fail",
            follow_links=False,
            val_fraction=0.2,
            test_fraction=0.2,
            split_seed=0,
            fold=None,
            folds=5,
            per_class=None,
            fraction=None,
        )


def test_the_limit_of_pixels_is_known_before_they_are_unpacked(tmp_path, monkeypatch):
    monkeypatch.setattr(transforms, "MOST_PIXELS", 3)
    with pytest.raises(UnreadableImageError, match="4 pixels, more than the 3"):
        read_image(written(tmp_path / "a.dcm", TWELVE))
