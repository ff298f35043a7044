"""What machines do to a job, as the one line that a person reads: disks, memory, processes.

It must not import torch, whose errors are known by their names and texts: it is slow.
"""

import errno
import os
import re
import signal
import tempfile
from collections.abc import Iterable
from contextlib import suppress
from pathlib import Path

from regraft.errors import RegraftError
from regraft.paths import cache_folder

FULL = (errno.ENOSPC, errno.EDQUOT)
NEARLY_FULL = 2**20  # bytes: what is left on a disk for which the last write was too large
# How libraries say that memory has run out, where it is not a MemoryError.
NO_MEMORY = (
    "DefaultCPUAllocator: not enough memory",
    "DefaultCPUAllocator: can't allocate memory",
    "out of memory",  # of CUDA, MPS, XPU
    "CUBLAS_STATUS_ALLOC_FAILED",
    "CUDNN_STATUS_ALLOC_FAILED",
)
# How PyTorch says that a file could not be written to its end.
CUT_OFF = ("inline_container.cc", "PytorchStreamWriter failed", "iostream error")
SHARED_MEMORY = (
    "out of shared memory",
    "unable to open shared memory object",
    "unable to allocate shared memory",
    "unable to mmap",
    "unable to write to file </torch_",
    "unable to resize file",
)
FAULTS = ("SIGSEGV", "SIGABRT", "SIGFPE", "SIGILL")  # signals
LESS_SHARED_MEMORY = (
    "use loader.workers=0 or fewer than now, or give it more (docker run --shm-size=2g)"
)
TOO_MANY_FILES = ("received 0 items of ancdata", "Too many open files")


def in_words(error: BaseException) -> str | None:
    """What went wrong with the machine and what to do, in one line; None for any other error."""
    text = str(error)
    if any(words in text for words in TOO_MANY_FILES):
        return (
            "too many files are open: `ulimit -n 65536` before the command, or read images in the "
            "main process: loader.workers=0"
        )
    if isinstance(error, OSError) and (disk := _of_disk(error)):
        return disk
    if isinstance(error, RuntimeError) and any(words in text for words in SHARED_MEMORY):
        return (
            f"the processes that read images have no shared memory left (/dev/shm): "
            f"{LESS_SHARED_MEMORY}"
        )
    if found := re.search(r"DataLoader worker \(pid(?:\(s\))? ([\d, ]+)\) (.*)", text):
        how = found[2].rstrip(". ")
        return (
            f"a process that reads images ended (pid {found[1]} {how}), as happens when memory "
            "runs out: use fewer with loader.workers=1, or none with loader.workers=0"
        )
    if is_out_of_memory(error):
        return (
            f"out of memory ({first_sentence(text) or type(error).__name__}): a smaller "
            "loader.batch_size, a smaller backbone, fewer images or fewer loader.workers need less"
        )
    return None


def of_death(code: int) -> str:
    """What ended a process, from its exit code, and what to do, in one line."""
    if code >= 0:
        return f"the job's process ended with exit code {code} and without a result"
    known = {int(one): one.name for one in signal.Signals}
    name = known.get(-code, f"signal {-code}")
    if name == "SIGKILL":
        why = (
            "as happens when memory runs out: a smaller loader.batch_size, a smaller backbone, "
            "fewer images or fewer loader.workers need less"
        )
    elif name == "SIGBUS":
        why = f"as happens when shared memory or a disk is full: {LESS_SHARED_MEMORY}"
    elif name not in FAULTS:
        return f"the job's process was ended by {name}"
    else:
        why = (
            "a fault in the machine code of a library (train.log says where): another backbone, "
            "another trainer.accelerator or another version of torch may do without it"
        )
    return f"the job's process was ended by {name}, {why}"


def is_out_of_memory(error: BaseException) -> bool:
    """Whether the memory of an accelerator or of the machine was too small."""
    if isinstance(error, MemoryError) or type(error).__name__ == "OutOfMemoryError":
        return True
    return isinstance(error, RuntimeError) and any(words in str(error) for words in NO_MEMORY)


def is_cut_off(error: BaseException) -> bool:
    """Whether PyTorch could not write a file to its end."""
    return isinstance(error, RuntimeError) and any(words in str(error) for words in CUT_OFF)


def first_sentence(text: str) -> str:
    """What comes before the advice in PyTorch's long texts.

    >>> first_sentence("CUDA out of memory. Tried to allocate 20 MiB. GPU 0 has 1.5 GiB. See")
    'CUDA out of memory. Tried to allocate 20 MiB'
    """
    text = " ".join(text.split())
    if found := re.search(r"you tried to allocate \d+ bytes", text):
        return found[0]
    return re.split(r"\. (?!Tried)", text)[0].rstrip(".")


def of_output(
    error: BaseException, folder: Path | None, by: str = "hydra.run.dir=<folder>"
) -> BaseException:
    """The same error; or the line about a run's folder that could not be written, as RegraftError.

    Without a folder, any OSError with a path is about the place of runs. `by` chooses another.
    """
    if isinstance(error, RegraftError) or not isinstance(error, OSError | RuntimeError):
        return error
    path = _path(error) if isinstance(error, OSError) else None
    if isinstance(error, OSError) and error.errno in FULL and path is None:
        path = full([folder or Path.cwd(), cache_folder(), Path(tempfile.gettempdir())])
    elif is_cut_off(error):
        path, error = folder, OSError(errno.ENOSPC if full([folder]) else errno.EIO, "cut off")
    if path is None or not _is_in(path, folder):
        return error
    assert isinstance(error, OSError)
    return RegraftError(_sentence(error, path, f"choose another folder with {by}"))


def _of_disk(error: OSError) -> str | None:
    path = _path(error)
    if error.errno in FULL:
        path = path or full([Path.cwd(), cache_folder(), Path(tempfile.gettempdir())])
        return _sentence(error, path, "write elsewhere: hydra.run.dir=<folder>")
    return None if path is None else _sentence(error, path, "")


def _sentence(error: OSError, path: Path | None, elsewhere: str) -> str:
    """What is wrong with the path, and what to do."""
    cached = path is not None and _is_in(path, cache_folder())
    elsewhere = "set REGRAFT_CACHE to another folder" if cached else elsewhere
    name = str(path or "a file")
    if error.errno in FULL:
        what, advice = "the disk is full", "free space (`regraft cache prune` removes features)"
        elsewhere = f"or {elsewhere}"
    elif error.errno in (errno.ENOTDIR, errno.EEXIST):
        what, advice = error.strerror or "", "a file is where a folder should be"
    elif error.errno == errno.ENOENT and elsewhere:
        what, advice = "it is gone", "it was moved or deleted, or its disk was taken away"
        elsewhere = "start again"
    elif error.errno == errno.ENAMETOOLONG:
        name = f"{name[:60]}…" if len(name) > 200 else name
        what, advice = "the name is too long", ""
        elsewhere = elsewhere.replace("another folder with", "a shorter")
    else:
        what, advice = error.strerror or str(error), ""
    return f"{name}: {what}" + "".join(f"; {words}" for words in (advice, elsewhere) if words)


def _path(error: OSError) -> Path | None:
    """What could not be written; of a copy, where it was to go."""
    name = error.filename2 or error.filename
    return Path(os.fsdecode(name)) if isinstance(name, str | bytes) else None


def _is_in(path: Path | None, folder: Path | None) -> bool:
    """Whether the path is in the folder, or one that it is in; everything is in None."""
    if path is None:
        return False
    if folder is None:
        return True
    path, folder = path.absolute(), folder.absolute()
    return path.is_relative_to(folder) or folder.is_relative_to(path)


def full(folders: Iterable[Path | None]) -> Path | None:
    """The first folder whose disk is full."""
    for folder in folders:
        with suppress(OSError, AttributeError):  # the folder is gone; Windows has no statvfs
            if folder and os.statvfs(folder).f_bavail * os.statvfs(folder).f_frsize < NEARLY_FULL:
                return folder
    return None
