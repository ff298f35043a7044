"""Pictures of DICOM files as their viewers show them: through the window that the file names."""

from pathlib import Path
from typing import Any

import numpy as np
from PIL import Image

from regraft.data.formats import READS_DICOM
from regraft.errors import RegraftError
from regraft.escaping import printable

_HOUNSFIELD = (-1024, 3071)  # of the twelve bits that scanners give
_LONGEST = 200  # characters of what pydicom says


def read(path: Path, most_pixels: int) -> Image.Image:
    """The first frame as 8-bit grey or colour; with MONOCHROME1, whose low values are bright,
    turned round.

    Grey goes through the modality's slope and intercept, then through the first VOI LUT or window
    (PS3.3 C.11.2); without one, the whole range that the stored bits can say (of a CT, that of
    twelve bits) becomes black to white, never that of a single image. Raises RegraftError with
    what pydicom says, and Image.DecompressionBombError.
    """
    if not READS_DICOM:
        raise RegraftError("DICOM: install pydicom")
    import pydicom

    try:
        # Forced, for what is called .dcm though it begins otherwise.
        file = pydicom.dcmread(path, force=True)
        if "PixelData" not in file:
            raise RegraftError("no picture is in this DICOM file")
        if (count := file.Rows * file.Columns) > most_pixels:
            raise Image.DecompressionBombError(f"it has {count} pixels")
        return _shown(file)
    except (FileNotFoundError, RegraftError, Image.DecompressionBombError):
        raise
    except Exception as error:  # of dozens of kinds
        raise RegraftError(f"DICOM: {printable(error)[:_LONGEST]}") from error


def _shown(file: Any) -> Image.Image:
    from pydicom.pixels import apply_color_lut, apply_modality_lut, apply_voi_lut, pixel_array

    stored, colours = pixel_array(file, index=0), file.PhotometricInterpretation
    if colours == "PALETTE COLOR":
        coloured = apply_color_lut(stored, file)
        return _eight_bits(coloured, 0, np.iinfo(coloured.dtype).max)
    if stored.ndim == 3:  # colours, which pydicom brings to RGB
        return _eight_bits(stored, 0, 2**file.BitsStored - 1)
    _bring_up(file)
    shown = apply_voi_lut(apply_modality_lut(stored, file), file)
    black, white = _range(file)
    if colours == "MONOCHROME1":
        black, white = white, black
    return _eight_bits(shown, black, white)


def _bring_up(file: Any) -> None:
    """Put window and slope where they are looked for: several frames have them deeper down, and
    anonymisers leave windows without numbers."""
    shared, each = (file.get(f"{n}FunctionalGroupsSequence") or [] for n in ("Shared", "PerFrame"))
    for group in (*shared, *each[:1]):
        for name in ("PixelValueTransformationSequence", "FrameVOILUTSequence"):
            for item in (group.get(name) or [])[:1]:
                file.update(item)
    for name in ("WindowCenter", "WindowWidth"):
        if name in file and file[name].is_empty:
            del file[name]


def _range(file: Any) -> tuple[float, float]:
    """The numbers that stand for black and for white in what pydicom gives for a grey image."""
    if sequence := file.get("VOILUTSequence") or file.get("ModalityLUTSequence"):
        return 0, 2 ** sequence[0].LUTDescriptor[2] - 1
    half = 2 ** (file.BitsStored - 1)
    low, high = (-half, half - 1) if file.PixelRepresentation else (0, 2 * half - 1)
    if "RescaleSlope" in file and "RescaleIntercept" in file:
        slope, intercept = float(file.RescaleSlope), float(file.RescaleIntercept)
        low, high = low * slope + intercept, high * slope + intercept
    if "WindowCenter" not in file and file.get("Modality") == "CT":
        return _HOUNSFIELD
    # A window goes from what the lowest stored number stands for, be it above the highest's.
    return (low, high) if "WindowCenter" in file else (min(low, high), max(low, high))


def _eight_bits(values: np.ndarray, black: float, white: float) -> Image.Image:
    share = (values.astype(np.float64) - black) / (white - black)
    return Image.fromarray((share.clip(0, 1) * 255).round().astype(np.uint8))
