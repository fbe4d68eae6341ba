"""A studio in a process of its own on the stand-in backend, for tests that need a real server."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from queue import Empty, Queue

ROOT = Path(__file__).resolve().parent.parent
STARTED_S = 120


class LiveServer:
    """A started process; `url` is what it printed."""

    def __init__(self, process: subprocess.Popen[str], lines: Queue[str], url: str) -> None:
        self.process = process
        self.lines = lines
        self.url = url

    def end(self, number: int = signal.SIGTERM) -> int:
        """Send a signal and wait; returns the exit code."""
        self.process.send_signal(number)
        return self.process.wait(60)


@contextmanager
def live_server(projects: Path, *flags: str) -> Iterator[LiveServer]:
    """A studio on a free port over `projects`, with further `flags` of tests.studio_server; ended on leaving."""
    command = [sys.executable, "-m", "tests.studio_server", "--projects", str(projects), *flags]
    process = subprocess.Popen(command, cwd=ROOT, env=dict(os.environ), stdout=subprocess.PIPE, text=True)
    lines: Queue[str] = Queue()
    threading.Thread(target=lambda: [lines.put(line) for line in process.stdout], daemon=True).start()
    try:
        first = lines.get(timeout=STARTED_S)
        yield LiveServer(process, lines, first.split()[2])
    except Empty:
        raise AssertionError(f"the server said nothing in {STARTED_S} s; it ended with {process.poll()}") from None
    finally:
        if process.poll() is None:
            process.terminate()
        process.wait(60)
        process.stdout.close()
