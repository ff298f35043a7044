"""Whether somebody answers at a URL, asked before a client that would retry for a long time."""

import threading
import urllib.error
import urllib.request
from collections.abc import Callable
from contextlib import suppress


def answers(url: str, *, within: float) -> bool:
    """Whether the server answers at all, whatever it says, within so many seconds."""
    answered = threading.Event()

    def ask() -> None:
        try:
            request = urllib.request.Request(url, method="HEAD")
            urllib.request.urlopen(request, timeout=within).close()
        except urllib.error.HTTPError as error:
            error.close()  # an answer, if not a friendly one
        except (OSError, ValueError):
            return
        answered.set()

    with suppress(TimeoutError):  # no socket timeout covers the name look-up
        in_time(within, ask)
    return answered.is_set()


def in_time(seconds: float, do: Callable[[], None]) -> None:
    """Do it in a thread; raises what it raises, and TimeoutError if it takes longer."""
    raised: list[BaseException] = []

    def work() -> None:
        try:
            do()
        except BaseException as error:
            raised.append(error)

    thread = threading.Thread(target=work, daemon=True)
    thread.start()
    thread.join(seconds)
    if thread.is_alive():
        raise TimeoutError(f"no answer within {seconds:g} s")
    if raised:
        raise raised[0]
