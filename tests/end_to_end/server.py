"""Runs the studio's server as a process of its own and talks to it from outside, over HTTP and WebSocket."""

from __future__ import annotations

import json
import os
import re
import signal
import subprocess
import sys
import threading
import time
import urllib.request
from collections.abc import Callable
from pathlib import Path

from websockets.exceptions import ConnectionClosed
from websockets.sync.client import connect

ROOT = Path(__file__).resolve().parent.parent.parent
PATIENCE_S = 120.0
"""How long anything may take on a machine that has other work to do; nothing waits longer than it must."""


class Server:
    """One studio over a folder of projects. `fake`: with the stand-in model, for whose server `flags` then are."""

    def __init__(self, projects: Path, *flags: str, fake: bool = True) -> None:
        self.projects = projects
        self.port = 0
        self._flags, self._fake = flags, fake
        self._process: subprocess.Popen[str] | None = None
        self.start()

    @property
    def url(self) -> str:
        """Where its page is."""
        return f"http://127.0.0.1:{self.port}"

    def start(self) -> None:
        """Start it, on the port it had before, and wait until it answers."""
        if self._fake:
            command = [sys.executable, "-P", "-m", "tests.studio_server"]
        else:
            command = [sys.executable, "-P", "-m", "app.cli", "studio", "--no-browser"]
        command += ["--port", str(self.port), "--projects", str(self.projects), *self._flags]
        environment = {**os.environ, "PYTHONPATH": str(ROOT), "PYTHONUNBUFFERED": "1"}
        environment.pop("TV2TV_PASSWORD", None)
        self.projects.parent.mkdir(parents=True, exist_ok=True)
        with (self.projects.parent / f"{self.projects.name}.err").open("ab") as errors:
            self._process = subprocess.Popen(
                command, cwd=ROOT, env=environment, stdout=subprocess.PIPE, stderr=errors, text=True
            )
        line = self._process.stdout.readline()
        found = re.search(r"TV2TV Studio: \S+?:(\d+)\b", line)
        if found is None:
            self.kill()
            raise AssertionError(f"the studio did not start: {line!r} {Path(errors.name).read_text()[-2000:]}")
        self.port = int(found[1])

    def kill(self) -> None:
        """End it at once, as a power cut would."""
        self._end(signal.SIGKILL)

    def stop(self) -> None:
        """End it as Ctrl-C would."""
        self._end(signal.SIGTERM)

    def limit_files(self, most: int | None) -> None:
        """Let it write no file beyond `most` bytes, as on a full disk; None lets it again. Linux only."""
        import resource

        limit = resource.RLIM_INFINITY if most is None else most
        resource.prlimit(self._process.pid, resource.RLIMIT_FSIZE, (limit, resource.RLIM_INFINITY))

    def _end(self, how: signal.Signals) -> None:
        process, self._process = self._process, None
        if process is None:
            return
        process.send_signal(how)
        try:
            process.wait(PATIENCE_S)
        finally:
            process.kill()
            process.stdout.close()

    def get(self, path: str) -> bytes:
        """What an address of it gives."""
        with urllib.request.urlopen(self.url + path, timeout=PATIENCE_S) as answer:
            return answer.read()

    def post(self, path: str, body: object = None) -> dict:
        """The answer to a command, such as `p/ID/generate`."""
        data = json.dumps({} if body is None else body).encode()
        headers = {"content-type": "application/json", "x-tv2tv": "1"}
        request = urllib.request.Request(f"{self.url}/studio/api/{path}", data, headers)
        with urllib.request.urlopen(request, timeout=PATIENCE_S) as answer:
            return json.load(answer)

    def new_project(self, **settings: object) -> str:
        """A new project from the example start, with some settings of its own; returns its id."""
        project = self.post("projects")["id"]
        if settings:
            self.post(f"p/{project}/settings", settings)
        return project

    def frames(self, project: str, chunk: str) -> list[bytes]:
        """The four pictures of a chunk."""
        return [self.get(f"/studio/p/{project}/c/{chunk}/{k}.png") for k in range(4)]

    def snapshot(self, project: str) -> dict:
        """What a project is now."""
        with connect(f"{self.url.replace('http', 'ws')}/studio/ws/{project}", max_size=None) as line:
            return json.loads(line.recv(PATIENCE_S))

    def settle(self, project: str, *states: str) -> dict:
        """Wait until a project's job is in one of `states` (default: idle); returns the snapshot."""
        until = time.monotonic() + PATIENCE_S
        while (now := self.snapshot(project))["job"]["state"] not in (states or ("idle",)):
            assert time.monotonic() < until, now["job"]
            time.sleep(0.05)
        return now


class Listener:
    """Another program at a project's live line: keeps every chunk that it is told, in order, until the line breaks."""

    def __init__(self, server: Server, project: str) -> None:
        self.chunks: list[dict] = []
        self._news = threading.Condition()
        self._open = True
        self._line = connect(f"{server.url.replace('http', 'ws')}/studio/ws/{project}", max_size=None)
        self.first = json.loads(self._line.recv(PATIENCE_S))
        self._thread = threading.Thread(target=self._listen, daemon=True)
        self._thread.start()

    def _listen(self) -> None:
        try:
            for text in self._line:
                message = json.loads(text)
                if message["type"] == "chunk":
                    with self._news:
                        self.chunks.append(message["chunk"])
                        self._news.notify_all()
        except ConnectionClosed:
            pass
        finally:
            with self._news:
                self._open = False
                self._news.notify_all()

    def wait(self, wanted: Callable[[list[dict]], bool]) -> None:
        """Wait until the chunks told so far are as `wanted`, or the line is broken."""
        with self._news:
            assert self._news.wait_for(lambda: wanted(self.chunks) or not self._open, PATIENCE_S), self.chunks[-1:]

    def close(self) -> list[dict]:
        """Hang up; returns every chunk that was told."""
        self._line.close()
        self._thread.join(PATIENCE_S)
        return self.chunks
