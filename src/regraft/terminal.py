"""What surrounds a command without being asked for: standard streams, and a notebook's variables.

A stream that takes ASCII only, that nobody reads any more, or that is closed, must not end a run:
what it has to say is in its folder, too.
"""

import codecs
import io
import os
import sys
from contextlib import suppress

STREAMS = ("stdin", "stdout", "stderr")
ASCII = "regraft.ascii"  # how codecs know the handler below
# Of what the program itself says; whatever else cannot be written is \\uXXXX, as in JSON.
PLAIN = {
    **{"×": "x", "→": "->", "±": "+-", "…": "...", "–": "-", "−": "-", "·": "|", "†": "+"},
    **{"’": "'", "²": "^2", "≈": "~", "∞": "inf", "≤": "<=", "≥": ">=", "é": "e", "—": "-"},
    **{"✓": "ok", "•": "*"} | dict.fromkeys("⠋⠙⠹⠸⠼⠴⠦⠧⠇⠏", "*"),  # which turn while one waits
}


def prepare() -> None:
    """Make the standard streams such that they cannot fail, and no picture want a window.

    Notebooks set MPLBACKEND for every program that they start, to a module of their own.
    """
    os.environ["MPLBACKEND"] = "agg"
    codecs.register_error(ASCII, in_ascii)
    _open_closed()
    for name in STREAMS[1:]:
        stream = getattr(sys, name)
        if isinstance(stream, io.TextIOWrapper) and not isinstance(stream, Steady):
            stream.reconfigure(errors=ASCII)  # for those who have it already, such as a log
            with suppress(OSError):  # no file, but a test's
                setattr(sys, name, Steady(stream))


class Steady(io.TextIOWrapper):
    """A standard stream that goes nowhere once it cannot be written to: no reader, no disk."""

    def __init__(self, stream: io.TextIOWrapper) -> None:
        raw = open(stream.fileno(), "wb", closefd=False)  # noqa: SIM115
        buffering = stream.line_buffering
        super().__init__(raw, stream.encoding, ASCII, line_buffering=buffering)

    def write(self, text: str, /) -> int:
        try:
            return super().write(text)
        except OSError:
            self._lead_nowhere()
            return len(text)

    def flush(self) -> None:
        try:
            super().flush()
        except OSError:
            self._lead_nowhere()

    def _lead_nowhere(self) -> None:
        nowhere = os.open(os.devnull, os.O_WRONLY)
        os.dup2(nowhere, self.fileno())  # also for what still waits in this stream, and in others
        os.close(nowhere)


def in_ascii(error: UnicodeError) -> tuple[str, int]:
    """What stands for text that a stream cannot take, and where to go on.

    >>> in_ascii(UnicodeEncodeError("ascii", "2×日", 1, 3, ""))
    ('x\\\\u65e5', 3)
    """
    if not isinstance(error, UnicodeEncodeError):
        raise error
    found = error.object[error.start : error.end]
    return "".join(PLAIN.get(letter) or _escaped(letter) for letter in found), error.end


def _escaped(letter: str) -> str:
    pairs = letter.encode("utf-16-be", "surrogatepass")
    return "".join(f"\\u{pairs[i]:02x}{pairs[i + 1]:02x}" for i in range(0, len(pairs), 2))


def _open_closed() -> None:
    """Give a number that was closed, as by `>&-`, to nobody's file: what is opened next, such as a
    result, would get it, and with it all that is printed."""
    for number, name in enumerate(STREAMS):
        try:
            os.fstat(number)
        except OSError:
            nowhere = os.open(os.devnull, os.O_RDWR)
            if nowhere != number:
                os.dup2(nowhere, number)
                os.close(nowhere)
        if getattr(sys, name) is None:
            mode = "w" if number else "r"
            setattr(sys, name, open(number, mode, encoding="utf-8", closefd=False))  # noqa: SIM115
