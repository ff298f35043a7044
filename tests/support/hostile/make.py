"""Makes the binary files beside it: python tests/support/hostile/make.py

The payload is `touch canary`.
"""

import os
import struct
import zlib
from pathlib import Path

import torch
from PIL import Image

HERE = Path(__file__).parent


class Payload:
    """Unpickled, it runs a command."""

    def __reduce__(self):
        return os.system, ("touch canary",)


def checkpoints(folder: Path) -> None:
    tensors = {"weight": torch.zeros(2)}
    torch.save(tensors | {"payload": Payload()}, folder / "zipped.pth")
    torch.save(Payload(), folder / "legacy.pt", _use_new_zipfile_serialization=False)
    torch.save({"state_dict": tensors, "hyper_parameters": Payload()}, folder / "lightning.ckpt")
    torch.save(Payload(), folder / "renamed.safetensors")
    torch.save(Payload(), folder / "folder" / "pytorch_model.bin")


def png(size: tuple[int, int], *chunks: tuple[bytes, bytes]) -> bytes:
    """A PNG file of one bit per pixel."""
    header = struct.pack(">IIBBBBB", *size, 1, 0, 0, 0, 0)
    blob = b"\x89PNG\r\n\x1a\n"
    for kind, data in ((b"IHDR", header), *chunks, (b"IEND", b"")):
        blob += struct.pack(">I", len(data)) + kind + data
        blob += struct.pack(">I", zlib.crc32(kind + data))
    return blob


def images(folder: Path) -> None:
    edge = 14_000
    rows = zlib.compress(bytes((edge // 8 + 1) * edge), 9)
    text = b"comment\0\0" + zlib.compress(bytes(50_000_000), 9)
    files = {
        "bomb.png": png((edge, edge), (b"IDAT", rows)),
        "absurd.png": png((2**31 - 1, 2**31 - 1), (b"IDAT", zlib.compress(b"\0\0"))),
        "text_bomb.png": png((8, 1), (b"zTXt", text), (b"IDAT", zlib.compress(b"\0\xff"))),
        "bomb.gif": b"GIF89a\xff\xff\xff\xff\x80\0\0" + bytes(6) + b",\0\0\0\0\xff\xff\xff\xff\0"
        b"\2\2D\1\0;",
        "script.png": b"%!PS-Adobe-3.0 EPSF-3.0\n%%BoundingBox: 0 0 9 9\n(canary) (w) file\n",
        "page.jpg": b"%PDF-1.4\n1 0 obj<</OpenAction<</S/Launch/F(touch canary)>>>>endobj\n",
        "drawing.png": b'<!DOCTYPE svg [<!ENTITY x SYSTEM "file:///etc/passwd">]>'
        b'<svg xmlns="http://www.w3.org/2000/svg"><text>&x;</text></svg>\n',
    }
    for name, content in files.items():
        (folder / name).write_bytes(content)
    whole = folder / "cut_off.jpg"
    Image.radial_gradient("L").save(whole)
    whole.write_bytes(whole.read_bytes()[:900])


if __name__ == "__main__":
    checkpoints(HERE / "checkpoints")
    images(HERE / "images")
