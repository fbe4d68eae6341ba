"""A studio without a network for tests: library, device and hub over the fake backend, and a browser that only listens."""

from __future__ import annotations

import json
import threading
import time
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path

from app.jobs import Device, Engines
from app.library import Library
from app.live import Hub
from app.sessions import Session
from tests.fakes import FakeBackend
from tv2tv_core.presets import Preset

PATIENCE_S = 20.0


class Ear:
    """Has the face of a hub's subscriber and keeps everything it is sent."""

    def __init__(self) -> None:
        self.heard: list[dict] = []
        self._news = threading.Condition()

    def put(self, text: str, optional: bool = False) -> None:
        with self._news:
            self.heard.append(json.loads(text))
            self._news.notify_all()

    def close(self) -> None:
        """Nothing to end here."""

    def wait(self, wanted: Callable[[dict], bool]) -> dict:
        """The first message, heard already or still to come, that is `wanted`."""
        until = time.monotonic() + PATIENCE_S
        with self._news:
            while True:
                found = next((message for message in self.heard if wanted(message)), None)
                if found is not None:
                    return found
                if not self._news.wait(until - time.monotonic()):
                    raise AssertionError(f"not heard; the last were {self.heard[-3:]}")


class Bench:
    """A whole studio in a folder; `backend` is what every preset loads."""

    def __init__(self, folder: Path, backend: FakeBackend | None = None, idle_unload_s: float = 900.0) -> None:
        self.backend = backend or FakeBackend()
        self.loads = 0
        self.hub = Hub()
        self.device = Device(Engines(self._load, lambda preset: replace(self.backend.spec, name=preset.name)), idle_unload_s)
        self.library = Library(folder, self.device, self.hub)

    def _load(self, _preset: Preset) -> FakeBackend:
        self.loads += 1
        return self.backend

    def listen(self, session: Session) -> Ear:
        """An ear at a session."""
        ear = Ear()
        session.attach(ear)
        return ear

    @staticmethod
    def settle(session: Session) -> None:
        """Wait until a session has no work on the device or in the queue."""
        until = time.monotonic() + PATIENCE_S
        while session.busy:
            assert time.monotonic() < until, session.job
            time.sleep(0.002)

    def close(self) -> None:
        """Stop everything."""
        self.hub.close()
        self.library.close()
