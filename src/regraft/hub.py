"""Files of the hub: out of its cache on this machine, else fetched, and never without a word."""

import logging
import multiprocessing
import sys
import time
from collections.abc import Iterator, Sequence
from concurrent.futures import Future, wait
from contextlib import contextmanager, nullcontext, suppress
from pathlib import Path
from threading import Event, Thread

from huggingface_hub import (
    constants,
    get_hf_file_metadata,
    hf_hub_download,
    hf_hub_url,
    try_to_load_from_cache,
)
from huggingface_hub.errors import (
    EntryNotFoundError,
    GatedRepoError,
    HfHubHTTPError,
    RepositoryNotFoundError,
)
from huggingface_hub.utils import disable_progress_bars
from huggingface_hub.utils import logging as hub_logging

from regraft.errors import RegraftError

log = logging.getLogger(__name__)

REACH_S = 2.5  # a hub that is silent for longer is said to be waited for
QUIET_S = 20  # between two lines while a file comes in and no bar can be drawn

INSTEAD = "or take backbone.weights=<file> or backbone.weights=random"


def fetch(repository: str, files: Sequence[str]) -> Path:
    """Where the first of `files` that the repository has lies on this machine.

    The network is left alone if one of them is in the hub's cache. Raises RegraftError if it is
    not and cannot be had, after `constants.HF_HUB_ETAG_TIMEOUT` seconds without an answer.
    """
    for file in files:
        # Not `hf_hub_download(local_files_only=True)`, which asks the hub who is calling.
        if isinstance(path := try_to_load_from_cache(repository, file), str):
            return Path(path)
    if constants.HF_HUB_OFFLINE:
        raise _unreachable(repository, "HF_HUB_OFFLINE is set")
    for file in files:
        with suppress(EntryNotFoundError):
            return _download(repository, file, _size(repository, file))
    raise RegraftError(f"{repository}: has no {' or '.join(files)}; name another tag, {INSTEAD}")


def _size(repository: str, file: str) -> int | None:
    """How many bytes the hub says that a file has.

    The hub's client alone would try for about 47 s before it said that there is no network.
    Raises EntryNotFoundError if the repository has no such file, RegraftError without an answer.
    """
    url, limit = hf_hub_url(repository, file), constants.HF_HUB_ETAG_TIMEOUT
    answer: Future[int | None] = Future()

    def ask() -> None:
        try:
            answer.set_result(get_hf_file_metadata(url, timeout=limit).size)
        except Exception as error:
            answer.set_exception(error)

    # A thread, because no timeout of a socket covers the look-up of a name.
    Thread(target=ask, daemon=True).start()
    if not wait([answer], REACH_S).done:
        _say(f"waiting for {constants.ENDPOINT}, which should answer within {limit} s …")
    if not wait([answer], limit).done:
        raise _unreachable(repository, f"no answer in {limit} s")
    try:
        return answer.result()
    except EntryNotFoundError:
        raise
    except HfHubHTTPError as error:
        raise _refused(repository, error) from error
    except Exception as error:  # of the client's HTTP library, another one in each generation
        raise _unreachable(repository, _one_line(error)) from error


def _download(repository: str, file: str, size: int | None) -> Path:
    what = repository if size is None else f"{repository} ({file}, {size / 1e6:.1f} MB)"
    _say(f"fetching {what} from {constants.ENDPOINT} to {constants.HF_HUB_CACHE}")
    try:
        with _watched(repository):
            return Path(hf_hub_download(repository, file))
    except HfHubHTTPError as error:
        raise _refused(repository, error) from error
    except Exception as error:
        raise RegraftError(
            f"{repository}: the download failed and nothing of it is used ({_one_line(error)}); "
            f"the same command tries again, {INSTEAD}"
        ) from error


@contextmanager
def _watched(repository: str) -> Iterator[None]:
    """The hub's bar in a terminal, else a line now and then; none of its notes on each retry."""
    worker = multiprocessing.parent_process() is not None  # bars side by side are a mess
    if worker and constants.HF_HUB_DISABLE_PROGRESS_BARS is None:
        disable_progress_bars()
    verbosity = hub_logging.get_verbosity()
    hub_logging.set_verbosity(hub_logging.ERROR)
    try:
        with nullcontext() if sys.stderr.isatty() and not worker else _lines(repository):
            yield
    finally:
        hub_logging.set_verbosity(verbosity)


@contextmanager
def _lines(repository: str) -> Iterator[None]:
    done, start = Event(), time.monotonic()

    def tell() -> None:
        while not done.wait(QUIET_S):
            _say(f"still fetching {repository}: {time.monotonic() - start:.0f} s so far")

    telling = Thread(target=tell, daemon=True)
    telling.start()
    try:
        yield
    finally:
        done.set()
        telling.join()


def _refused(repository: str, error: HfHubHTTPError) -> RegraftError:
    hub = constants.ENDPOINT
    if isinstance(error, GatedRepoError):
        text = f"{hub} wants you to ask for it on its page and to log in with `hf auth login`"
    elif isinstance(error, RepositoryNotFoundError):
        text = f"{hub} has no such repository, or hides it from you; name another tag"
    else:
        text = f"{hub} answered with HTTP status {error.response.status_code}; try again later"
    return RegraftError(f"{repository}: {text}, {INSTEAD}")


def _unreachable(repository: str, why: str) -> RegraftError:
    return RegraftError(
        f"backbone.weights=pretrained: {repository} is neither on this machine nor reachable "
        f"({why}); connect once to {constants.ENDPOINT}, set HF_HOME to a filled cache or "
        f"HF_ENDPOINT to a mirror, {INSTEAD} (backbone=fractal_resnet needs no network)"
    )


def _one_line(error: Exception) -> str:
    return " ".join(f"{type(error).__name__}: {error}".split())


def _say(text: str) -> None:
    """To the terminal whatever the log's level there, and to the run's log."""
    print(text, file=sys.stderr, flush=True)
    log.info(text)
