"""Whether somebody answers at a URL, asked before a client that would retry for a long time."""

import threading
import urllib.error
import urllib.request


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

    # A thread, because no socket timeout covers the name look-up.
    asking = threading.Thread(target=ask, daemon=True)
    asking.start()
    asking.join(within)
    return answered.is_set()
