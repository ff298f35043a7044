"""Install what a lock holds, and then the project, for the Python that runs this.

    .venv/bin/python install.py requirements.txt    # what the program needs
    .venv/bin/python install.py constraints.txt     # the extras and the developers' tools, too

Each file that is fetched must have a hash of the lock's. Builds of torch for one kind of machine,
such as those without CUDA, lie in an index of their own and have others: UV_TORCH_BACKEND=cpu (or
cu130, rocm7.0, auto …; what uv knows), or TORCH_INDEX=<address of such an index>, takes torch from
there. On a Linux without an NVIDIA card the first of these is tried for `requirements.txt`. Nothing
but Python is needed to run this.
"""

import os
import platform
import re
import shutil
import subprocess
import sys
import tempfile
import time
from collections.abc import Mapping
from importlib import metadata
from pathlib import Path

HERE = Path(__file__).parent
LEAN = "requirements.txt"
ALL = "constraints.txt"
PIP = [sys.executable, "-m", "pip", "install", "--disable-pip-version-check", "--no-input"]
TORCH = ("torch", "torchvision")
OF_CUDA = re.compile(r"nvidia-|cuda-|triton$")
GB = {LEAN: 1.5, ALL: 2.1, "CUDA": 4.8}  # on the disk


def main(lock: str) -> None:
    """Install; say before how much that is, and afterwards how long it took."""
    began = time.monotonic()
    wanted = pins((HERE / lock).read_text(encoding="utf-8"))
    if has_own_torch(wanted) or take_own_torch(lock, wanted):
        wanted = {n: pin for n, pin in wanted.items() if n not in TORCH and not OF_CUDA.match(n)}
    cuda = GB["CUDA"] if "torch" in wanted and platform.system() == "Linux" else 0
    say(
        f"Installing {len(wanted)} packages of {lock}: {GB[lock] + cuda:.1f} GB on the disk, "
        "half of it to fetch, if nothing is there yet; some minutes …"
    )
    install(wanted)
    run([*PIP, "-q", "--no-deps", "--no-build-isolation", "-e", str(HERE)])
    minutes, seconds = divmod(round(time.monotonic() - began), 60)
    say(f"Installed in {minutes} min {seconds} s.")


def pins(lock: str) -> dict[str, str]:
    """The lines of each package of a lock: version, markers, hashes; of each version, if several.

    >>> pins("a==1 \\\\\\n    --hash=sha256:b\\nc==2 ; sys_platform == 'x'\\n")
    {'a': 'a==1 \\\\\\n    --hash=sha256:b\\n', 'c': "c==2 ; sys_platform == 'x'\\n"}
    """
    parts = re.split(r"^(?=[^\s#]+==)", lock, flags=re.MULTILINE)
    found: dict[str, str] = {}
    for part in parts:
        if "==" in part:
            name = re.split(r"[=\[]", part)[0]
            found[name] = found.get(name, "") + part
    return found


def version_of(pin: str) -> str:
    """The version of a package in a lock."""
    return pin.partition("==")[2].split()[0]


def has_own_torch(wanted: Mapping[str, str]) -> bool:
    """Whether the lock's torch is here already in a build for one kind of machine, 2.15.0+cpu."""
    try:
        found, _, build = metadata.version("torch").partition("+")
    except metadata.PackageNotFoundError:
        return False
    return bool(build) and found == version_of(wanted["torch"])


def take_own_torch(lock: str, wanted: Mapping[str, str]) -> bool:
    """Install torch from where the environment says, or without CUDA where there is no card.

    Whether it was. What was asked for and cannot be had ends the program; a guess does not.
    """
    torch = [f"{name}=={version_of(wanted[name])}" for name in TORCH]
    if index := os.environ.get("TORCH_INDEX"):
        say(f"Installing {' '.join(torch)} from TORCH_INDEX …")
        run([*PIP, "--no-deps", "--index-url", index, *torch])
        return True
    asked = os.environ.get("UV_TORCH_BACKEND")
    if not asked and not (lock == LEAN and is_without_card()):
        return False
    say(f"Installing {' '.join(torch)} for {asked or 'cpu, as there is no NVIDIA card'} …")
    install({"uv": pins((HERE / ALL).read_text(encoding="utf-8"))["uv"]})
    uv = [sys.executable, "-m", "uv", "pip", "install", "-q", "--python", sys.executable]
    taken = run([*uv, "--torch-backend", asked or "cpu", *torch], guess=not asked)
    if not taken:
        say("Such a build cannot be had from here: the lock's is taken, with CUDA's libraries.")
    return taken


def is_without_card() -> bool:
    """Whether this is a Linux, where the index has torch with CUDA, without an NVIDIA card."""
    card = shutil.which("nvidia-smi") or Path("/proc/driver/nvidia").exists()
    return platform.system() == "Linux" and platform.machine() == "x86_64" and not card


def install(wanted: Mapping[str, str]) -> None:
    """Install what these lines of a lock say; it is whole, so nothing is looked for beside it."""
    with tempfile.TemporaryDirectory() as folder:
        path = Path(folder, "lock.txt")
        path.write_text("".join(wanted.values()), encoding="utf-8")
        run([*PIP, "--require-hashes", "--no-deps", "-r", str(path)])


def run(command: list[str], *, guess: bool = False) -> bool:
    """Run a command, which ends this program with its exit code if it fails and is no guess."""
    bounded = {
        "UV_HTTP_TIMEOUT": "20",
        "UV_HTTP_RETRIES": "1",
    }  # where a network lets nothing through
    done = subprocess.run(
        command, env=bounded | os.environ, stderr=subprocess.DEVNULL if guess else None
    )
    if done.returncode and not guess:
        sys.exit(done.returncode)
    return done.returncode == 0


def say(line: str) -> None:
    print(line, flush=True)


if __name__ == "__main__":
    if len(sys.argv) != 2 or sys.argv[1] not in (LEAN, ALL):
        sys.exit(f"python install.py {LEAN} or {ALL}")
    main(sys.argv[1])
