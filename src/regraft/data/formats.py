"""Which files are images, by their first bytes and by their suffix, and what the others are."""

import re
import stat
from collections import Counter
from collections.abc import Iterable, Sequence
from importlib.util import find_spec
from pathlib import Path, PurePath

from PIL import Image

from regraft.data.names import is_ours

# What people have pictures in. Pillow knows more: EPS, for which it starts Ghostscript, and formats
# that few have ever tried to break. By name of the format, not of the file: Pillow looks at the
# content.
_PICTURES = {"AVIF", "BMP", "DIB", "GIF", "HEIF", "ICO", "JPEG", "JPEG2000", "MPO", "PCX", "PNG"}
_PICTURES |= {"PPM", "SGI", "TGA", "TIFF", "WEBP"}
Image.init()
try:
    import pillow_heif

    pillow_heif.register_heif_opener()
except ImportError:  # it is not here, or does not go with this Pillow
    READS_HEIC = False
else:
    READS_HEIC = True
READS_DICOM = find_spec("pydicom") is not None
PILLOWS = sorted(_PICTURES & set(Image.OPEN))  # AVIF is not in every build
DICOM_SUFFIXES = frozenset({".dcm", ".dicom"})
EXTENSIONS = frozenset(
    extension for extension, name in Image.registered_extensions().items() if name in PILLOWS
) | (DICOM_SUFFIXES if READS_DICOM else frozenset())

# Only what no text begins with: BMP has a size of its own header, too.
_BEGIN = {
    name: re.compile(pattern, re.DOTALL)
    for name, pattern in {
        "JPEG": rb"\xff\xd8\xff",
        "PNG": rb"\x89PNG\r\n\x1a\n",
        "GIF": rb"GIF8[79]a",
        "BMP": rb"BM.{12}[\x0c\x28\x34\x38\x40\x6c\x7c]\0\0\0",
        "TIFF": rb"II[*+]\0|MM\0[*+]",
        "WEBP": rb"RIFF.{4}WEBP",
        "JPEG2000": rb"\0\0\0\x0cjP  |\xff\x4f\xff\x51",
        "AVIF": rb".{4}ftyp(avi[fs]|m[is]f1.{4,60}avi[fs])",
        "HEIC": rb".{4}ftyp(he[iv][cxms]|m[is]f1)",
        "DICOM": rb".{128}DICM",
        "JPEG XL": rb"\xff\x0a|\0\0\0\x0cJXL ",
        "Photoshop": rb"8BPS",
        "OpenEXR": rb"v/1\x01",
        "PDF": rb"%PDF-",
        "SVG": rb"\s*(<\?xml.{0,100})?<svg",
        "a web page": rb"(?i)\s*<(!doctype html|html)",
        "a pointer of git-lfs: git lfs pull": rb"version https://git-lfs",
    }.items()
}
READ = {"JPEG", "PNG", "GIF", "BMP", "TIFF", "WEBP", "JPEG2000"} | ({"AVIF"} & {*PILLOWS})
READ |= ({"HEIC"} if READS_HEIC else set()) | ({"DICOM"} if READS_DICOM else set())
_INSTALL = {"HEIC": "install pillow-heif", "DICOM": "install pydicom"}
_OF_SUFFIX = {".heic": "HEIC", ".heif": "HEIC", ".hif": "HEIC", ".dcm": "DICOM", ".dicom": "DICOM"}
# Many begin as a TIFF, which holds a thumbnail.
_RAW = re.compile(
    r"\.(3fr|arw|cr[23w]|dcr|dng|erf|fff|iiq|kdc|mef|mos|mrw|nef|nrw|orf|pef|raf|raw|rw[2l]|sr[2fw]|"
    r"x3f)"
)
# Texts; backups and thumbnails, which show what another file shows; what is not downloaded yet.
_LITTER = re.compile(
    r"\.(csv|db|html?|ini|js|jsonl?|lnk|log|md|parquet|py|tsv|txt|url|xml|xmp|ya?ml)|"
    r"\.(aae|bak|orig|thm|tmp)|.*(~|_original)|\.(crdownload|part|partial)"
)
_KINDS = 6  # that are named in a line


def suffix(name: str) -> str:
    """In lower case, with its dot."""
    return PurePath(name).suffix.lower()


def is_image(path: Path) -> bool:
    """Whether it is called like an image that is read here, or begins like one.

    Only files with another suffix, or none, are looked into; texts beside images are not.
    """
    if (end := suffix(path.name)) in EXTENSIONS:
        return True
    return not is_litter(path.name) and not _RAW.fullmatch(end) and kind(path) in READ


def is_litter(name: str) -> bool:
    """Whether it is what programs leave, or a text: nothing that anybody takes for an image."""
    return not is_ours(name) or bool(_LITTER.fullmatch(suffix(name)))


def kind(path: Path) -> str:
    """What the file is by its first bytes; "" for what is not known, or no file."""
    try:
        if not stat.S_ISREG(path.stat().st_mode):  # a pipe would be waited for
            return ""
        with path.open("rb") as file:
            head = file.read(200)
    except OSError:
        return ""
    return next((name for name, begins in _BEGIN.items() if begins.match(head)), "")


def named(what: str) -> str:
    """A kind as it is named to a person, with what helps; "" for what is not known."""
    if what in _INSTALL:
        return f"{what}: {_INSTALL[what]}"
    return f"it is {what}" if what else ""


def is_special(path: Path) -> bool:
    """Whether it is a pipe, a socket or a device, of which reading might wait for ever."""
    try:
        mode = path.stat().st_mode
    except OSError:
        return False
    return not (stat.S_ISREG(mode) or stat.S_ISDIR(mode))


def wants_library(path: Path) -> bool:
    """Whether it is a picture that would be read if a library were here."""
    return not is_image(path) and (kind(path) or _OF_SUFFIX.get(suffix(path.name))) in _INSTALL


def why_not_read(path: Path) -> str:
    """What a file that is no image to us is called like, and what helps: .heic (install …)."""
    end = suffix(path.name)
    if is_special(path):
        return f"{end or 'no suffix'} (no file, but a pipe, a socket or a device)"
    what = kind(path) or _OF_SUFFIX.get(end, "")
    hint = "raw of a camera: convert it" if _RAW.fullmatch(end) else _INSTALL.get(what, what)
    return (end or "no suffix") + (f" ({hint})" if hint else "")


def counted(paths: Iterable[Path]) -> str:
    """How many files of which kinds, the most first; "" for none.

    >>> counted([Path("a.mp4"), Path("b"), Path("B.MP4")])
    '2 .mp4, 1 no suffix'
    """
    return worded(Counter(map(why_not_read, paths)))


def left_out(where: str, read: int, reasons: Sequence[str]) -> str:
    """One line about files that are not read, by what `why_not_read` says of each; "" for none.

    >>> left_out("class a", 12, [".mp4", ".mp4"])
    'left out 2 of 14 files of class a: .mp4'
    """
    kinds, lost = Counter(reasons), len(reasons)
    words = reasons[0] if len(kinds) == 1 else worded(kinds)
    return f"left out {lost:,} of {lost + read:,} files of {where}: {words}" if lost else ""


def litter(names: Iterable[str]) -> str:
    """What programs and people have left beside images, counted by its kind; "" for nothing.

    >>> litter(["a.txt", "b.txt", ".DS_Store", "._a.jpg", "._b.jpg", "._c.jpg"])
    '3 ._*, 2 .txt, 1 .DS_Store'
    """
    return worded(Counter(map(_called, names)))


def _called(name: str) -> str:
    if name.startswith("._"):  # of a Mac, beside each file on a disk of others
        return "._*"
    return suffix(name) if is_ours(name) else name


def worded(kinds: Counter[str]) -> str:
    """Kinds with their counts, the most first, and the first few by name."""
    most = kinds.most_common()
    words = [f"{count:,} {what}" for what, count in most[:_KINDS]]
    if rest := sum(count for _, count in most[_KINDS:]):
        words.append(f"{rest:,} others")
    return ", ".join(words)
