"""Events and errors → words for people. Knows no verb and no model."""

from __future__ import annotations

import errno
import time
import traceback
from collections.abc import Callable
from pathlib import Path
from typing import TYPE_CHECKING, TextIO

from tv2tv_core.errors import Cancelled, TV2TVError

if TYPE_CHECKING:
    from tv2tv_core.engine.events import Event

LOGS = Path(__file__).resolve().parent.parent / ".cache" / "logs"
FULL_DISK = {errno.ENOSPC, errno.EDQUOT}
OUT_OF_MEMORY = {"OutOfMemoryError"}  # by name: the library that raises it is not imported here
LONGEST = 400  # characters of an error line


def failure(error: Exception, logs: Path = LOGS) -> tuple[str, int]:
    """What to tell a person about `error`, in one line, and the exit code: 2 when they can mend it, otherwise 1.

    The traceback of an unexpected error goes to a file in `logs`, which the line names.
    """
    if isinstance(error, Cancelled):
        return clip(str(error) or "stopped"), 130
    if isinstance(error, TV2TVError):
        return clip(str(error)), 2
    if isinstance(error, OSError) and error.errno in FULL_DISK:
        return f"The disk is full{_at(error)}. Free some space and start again; nothing was replaced.", 2
    if isinstance(error, PermissionError):
        return f"No permission{_at(error)}. Choose another place, or change its permissions.", 2
    if isinstance(error, OSError) and error.errno == errno.EROFS:
        return f"The disk is read-only{_at(error)}. Choose another place with --out.", 2
    if isinstance(error, MemoryError) or type(error).__name__ in OUT_OF_MEMORY or "can't allocate memory" in str(error):
        return "Not enough memory. Close other programs, ask for fewer seconds, or take a smaller preset.", 2
    if isinstance(error, ModuleNotFoundError) and error.name and not error.name.startswith(("app", "tv2tv_core")):
        return f"The package '{error.name}' is not in the environment. Delete the folder .venv and start again.", 2
    return _unexpected(error, logs), 1


def clip(text: str, longest: int = LONGEST) -> str:
    """`text` on one line, at most `longest` characters, with nothing unprintable in it."""
    line = "".join(char if char.isprintable() else " " for char in text)
    line = " ".join(line.split())
    return line if len(line) <= longest else f"{line[:longest]}…"


def _at(error: OSError) -> str:
    """Where an OSError happened, when it says so."""
    return f": {error.filename}" if error.filename else ""


def _unexpected(error: Exception, logs: Path) -> str:
    """One line about a fault of ours; the details go to a log file."""
    line = clip(f"{type(error).__name__}: {error}", 200)
    path = logs / time.strftime("error-%Y%m%d-%H%M%S.log")
    try:
        logs.mkdir(parents=True, exist_ok=True)
        path.write_text("".join(traceback.format_exception(error)), encoding="utf-8")
    except OSError as problem:
        return f"Something went wrong inside ({line}), and no log could be written ({problem.strerror})."
    return f"Something went wrong inside ({line}). The details are in {path}; please report them."


class ClipProgress:
    """Shows a growing clip, one line a chunk: where it starts, the plan in force, who wrote it, how fast it came."""

    def __init__(self, stream: TextIO) -> None:
        self._stream = stream
        self._source = ""  # who wrote this chunk's plan line; empty when the one before goes on
        self._start = ""

    def __call__(self, event: Event) -> None:
        """Take one event of the engine."""
        from tv2tv_core.engine import events

        match event:
            case events.PlanDone(source=source):
                self._source = source
            case events.ChunkStarted(plan=plan, start_s=start_s):
                self._start = f"{start_s:6.2f} s  {plan or '(no plan line)'}"
            case events.ChunkDone(chunk=chunk, seconds=seconds):
                rate = f"{len(chunk.frames) / seconds:.1f} frames/s" if seconds > 0 else ""
                print(f"{self._start}  [{self._source or 'goes on'}]  {rate}".rstrip(), file=self._stream, flush=True)
                self._source = ""
            case events.Finished(reason="ended"):
                print("the model ended the clip here", file=self._stream, flush=True)


def count_progress(stream: TextIO) -> Callable[[int, int, str], None]:
    """A callback for long work: takes (done, wanted, what was just made) and writes one line with the time left."""
    began, first = time.monotonic(), -1

    def show(done: int, wanted: int, what: str) -> None:
        nonlocal first
        if first < 0:
            first = done
        rate = (done - first) / max(time.monotonic() - began, 1e-3)
        left = f", {(wanted - done) / rate / 60:.0f} min left" if rate > 0 and wanted > done else ""
        print(f"{done:,} of {wanted:,} chunks{left}  {what}", file=stream, flush=True)

    return show
