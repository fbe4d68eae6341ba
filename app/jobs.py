"""The device: one worker thread that owns the loaded model and runs queued work, one run after the other."""

from __future__ import annotations

import logging
import threading
import time
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Protocol

from tv2tv_core.engine.backend import Backend, BackendSpec
from tv2tv_core.errors import InputError, TV2TVError
from tv2tv_core.presets import Preset

log = logging.getLogger(__name__)
IDLE_UNLOAD_S = 15 * 60.0


# --- what a project's job can be: exactly one of these ---------------------------------------------------------------


@dataclass(frozen=True)
class Work:
    """What a run is for: `done` of `total` chunks of a take; `reason` is "generate", "drive" or "bridge"."""

    reason: str
    take: str
    done: int
    total: int


@dataclass(frozen=True)
class Idle:
    """Nothing is left to do."""


@dataclass(frozen=True)
class Queued:
    """Waits for the device behind other projects."""

    work: Work


@dataclass(frozen=True)
class Loading:
    """It is this project's turn; the model is being loaded."""

    work: Work


@dataclass(frozen=True)
class Running:
    """Chunks are being made. `left_s`: seconds still needed, None before there is anything to tell it from."""

    work: Work
    left_s: float | None = None


@dataclass(frozen=True)
class Pausing:
    """A pause is asked for; the chunk in flight is still being finished."""

    work: Work


@dataclass(frozen=True)
class Paused:
    """Stopped at a boundary with chunks left to do, by a person or because the server ended."""

    work: Work


@dataclass(frozen=True)
class Failed:
    """The last run ended in an error, told in `message`; what it had made is kept."""

    work: Work
    message: str


Job = Idle | Queued | Loading | Running | Pausing | Paused | Failed
ACTIVE = (Queued, Loading, Running, Pausing)


# --- the device ------------------------------------------------------------------------------------------------------


@dataclass(frozen=True)
class Engines:
    """How a preset becomes a backend (slow, heavy) and how its spec is known before that (milliseconds)."""

    load: Callable[[Preset], Backend]
    describe: Callable[[Preset], BackendSpec]


class Run(Protocol):
    """Work that needs the device. All methods are called by the device's thread, outside the device's lock."""

    project: str
    preset: Preset

    def loading(self) -> None:
        """It is this run's turn and the model has to be loaded first."""

    def execute(self, backend: Backend) -> None:
        """Do the work; errors of its own are its own to tell."""

    def failed(self, error: Exception) -> None:
        """The model could not be loaded, or `execute` raised."""

    def ended(self) -> None:
        """Called last, whatever happened."""


class Device:
    """One worker thread, one queue, at most one loaded model, which is let go after `idle_unload_s` without work.

    `on_queue` is called with the project ids in order, the running one first, after every change of the queue.
    """

    def __init__(self, engines: Engines, idle_unload_s: float = IDLE_UNLOAD_S) -> None:
        self.engines = engines
        self.idle_unload_s = idle_unload_s
        self.on_queue: Callable[[list[str]], None] = lambda order: None
        self._queue: list[Run] = []
        self._running: Run | None = None
        self._backend: Backend | None = None
        self._weights: Path | None = None
        self._users = 0
        self._used = time.monotonic()
        self._closing = False
        self._changed = threading.Condition()
        self._loading = threading.Lock()
        self._thread = threading.Thread(target=self._work, name="device", daemon=True)
        self._thread.start()

    # What others ask ------------------------------------------------------------------------------------------------

    @property
    def loaded(self) -> bool:
        """Whether a model is in memory."""
        return self._backend is not None

    def order(self) -> list[str]:
        """Project ids with work, the one on the device first."""
        with self._changed:
            return self._order()

    def enqueue(self, run: Run) -> bool:
        """Put a run at the end of the queue; returns whether it has to wait for others."""
        with self._changed:
            if self._closing:
                raise TV2TVError("The studio is shutting down; start it again to go on.")
            waits = bool(self._queue or self._running)
            self._queue.append(run)
            self._changed.notify_all()
        self.on_queue(self.order())
        return waits

    def withdraw(self, run: Run) -> bool:
        """Take a waiting run out of the queue; False when it is not waiting (any more)."""
        with self._changed:
            if run not in self._queue:
                return False
            self._queue.remove(run)
        self.on_queue(self.order())
        return True

    def reorder(self, projects: Sequence[str]) -> None:
        """Bring the waiting runs into this order of project ids; the ones not named follow in their old order."""
        rank = {project: place for place, project in enumerate(projects)}
        with self._changed:
            self._queue.sort(key=lambda run: rank.get(run.project, len(rank)))
        self.on_queue(self.order())

    @contextmanager
    def backend(self, preset: Preset) -> Iterator[Backend]:
        """The loaded backend of a preset, for short work beside the queue (thinking); loads it when need be.

        Raises InputError while the device is busy with other weights.
        """
        with self._changed:
            busy = self._running is not None and self._running.preset.weights != preset.weights
        if busy:
            raise InputError("The device is busy with another model: try again when its queue is empty.")
        try:
            yield self._hold(preset)
        finally:
            self._release()

    def warm(self, preset: Preset) -> None:
        """Load a small preset's model in the background, so that the first Generate need not wait for it.

        One of many gigabytes waits until it is really asked for.
        """

        def load() -> None:
            try:
                with self.backend(preset):
                    pass
            except Exception as error:
                log.info("not warmed up: %s", error)  # Generate will meet the same error and tell the person

        if not self.loaded and preset.recipe is None:
            threading.Thread(target=load, name="warm", daemon=True).start()

    def close(self, timeout_s: float = 10.0) -> None:
        """Stop taking work and wait for the thread; the caller has cancelled the running work before."""
        with self._changed:
            self._closing = True
            self._queue.clear()
            self._changed.notify_all()
        self._thread.join(timeout_s)

    # The thread -----------------------------------------------------------------------------------------------------

    def _order(self) -> list[str]:
        running = [self._running.project] if self._running else []
        return running + [run.project for run in self._queue]

    def _work(self) -> None:
        while True:
            with self._changed:
                while not self._queue and not self._closing:
                    self._changed.wait(self._unload_when_idle())
                if self._closing:
                    return
                run = self._running = self._queue.pop(0)
            self.on_queue(self.order())
            self._one(run)

    def _one(self, run: Run) -> None:
        try:
            if self._weights != run.preset.weights:
                run.loading()
            try:
                run.execute(self._hold(run.preset))
            finally:
                self._release()
        except Exception as error:
            run.failed(error)
        finally:
            with self._changed:
                self._running = None
            try:
                run.ended()
                self.on_queue(self.order())
            except Exception as error:
                log.exception("a run could not be ended: %s", error)  # the device goes on: others wait for it

    def _hold(self, preset: Preset) -> Backend:
        """The backend, counted as in use until `_release`; loads it, in place of another one, when need be."""
        with self._changed:
            self._users += 1
        with self._loading:
            if self._weights != preset.weights or self._backend is None:
                self._let_go()
                self._backend = self.engines.load(preset)
                self._weights = preset.weights
            return self._backend

    def _release(self) -> None:
        with self._changed:
            self._users -= 1
            self._used = time.monotonic()
            self._changed.notify_all()

    def _unload_when_idle(self) -> float | None:
        """Let an unused model go when its time is over; returns how long to sleep (None: until something changes)."""
        if self._backend is None or self._users:
            return None
        left = self._used + self.idle_unload_s - time.monotonic()
        if left > 0:
            return left
        self._let_go()
        return None

    def _let_go(self) -> None:
        """Drop the model; a backend that holds a device's memory beside Python's gives it back itself."""
        backend, self._backend, self._weights = self._backend, None, None
        close = getattr(backend, "close", None)
        if close is not None:
            close()
