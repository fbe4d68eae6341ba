"""One run of one project on the device: asks its session for the next chunk, runs the engine, hands the events back."""

from __future__ import annotations

import threading
import time
from dataclasses import dataclass
from typing import TYPE_CHECKING

from tv2tv_core.engine import events
from tv2tv_core.engine.backend import Backend
from tv2tv_core.engine.control import Control
from tv2tv_core.engine.generate import GenerateRequest, generate
from tv2tv_core.presets import Preset
from tv2tv_core.settings import GenerationSettings
from tv2tv_core.timeline import History

if TYPE_CHECKING:
    from app.sessions import Session


@dataclass(frozen=True, eq=False)
class Step:
    """The next chunk to make: where it goes, what the person asks of it (None: the model plans), with what settings."""

    take: str
    stream: str
    history: History
    asked: str | None
    settings: GenerationSettings
    previews: bool


class ProjectRun:
    """Makes chunk after chunk until the session has no more to do, or `control` says stop.

    Every chunk is a request of its own, so that a line written while others are being drawn still counts. That changes
    no pixel: random numbers follow from (seed, stream, chunk index) alone.
    """

    def __init__(self, session: Session, project: str, preset: Preset, drive: bool) -> None:
        self.project = project
        self.preset = preset
        self.drive = drive
        self.control = Control()
        self.keep_pending = False
        self.done = threading.Event()
        self._session = session

    def loading(self) -> None:
        """Tell the session that the model is being loaded."""
        self._session.run_loading(self)

    def failed(self, error: Exception) -> None:
        """Tell the session why the run broke off."""
        self._session.run_failed(self, error)

    def ended(self) -> None:
        """Tell the session, and whoever waits, that the run is over."""
        try:
            self._session.run_ended(self)
        finally:
            self.done.set()

    def execute(self, backend: Backend) -> None:
        """Make chunks until there is a reason to stop, and tell the session which."""
        self._session.run_begins(self, backend)
        began, made = time.monotonic(), 0
        while (step := self._session.next_step(self, backend)) is not None:
            request = GenerateRequest(
                backend,
                step.history,
                1,
                plan=[step.asked],
                seed=step.settings.seed,
                take=step.stream,
                steps=step.settings.steps,
                guidance=step.settings.guidance,
                temperature=step.settings.temperature,
                top_p=step.settings.top_p,
                previews=step.previews,
            )
            end: events.Finished | None = None
            for event in generate(request, self.control):
                self._session.happened(self, step, event, backend)
                if isinstance(event, events.Finished):
                    end = event
            if end is None or end.reason != "length":
                self._session.stopped(self, "cancelled" if end is None else end.reason)
                return
            made += 1
            if self.drive:
                self._keep_pace(began, made * float(backend.spec.chunk_frames / backend.spec.fps))

    def _keep_pace(self, began: float, due_s: float) -> None:
        """A driven clip runs no faster than it plays: a line is what was held while its frames were seen."""
        while (left := began + due_s - time.monotonic()) > 0 and not (self.control.cancelled or self.control.pausing):
            time.sleep(min(left, 0.02))
