"""One run of one project on the device: asks its session for the next chunk, runs the engine, hands the events back."""

from __future__ import annotations

import threading
import time
from dataclasses import dataclass, replace
from typing import TYPE_CHECKING

import numpy as np

from app.jobs import Job, Loading, Pausing, Queued, Running, Work
from tv2tv_core.engine import events
from tv2tv_core.engine.backend import Backend
from tv2tv_core.engine.bridge import distance, nearest
from tv2tv_core.engine.control import Control
from tv2tv_core.engine.generate import GenerateRequest, generate
from tv2tv_core.presets import Preset
from tv2tv_core.settings import GenerationSettings
from tv2tv_core.timeline import History

if TYPE_CHECKING:
    from app.sessions import Session


@dataclass(frozen=True, eq=False)
class Step:
    """The next chunk to make: the take and the chunk it follows, what the person asks of it (None: the model plans).

    target: the frame (uint8 HWC) that a bridge leads to.
    """

    take: str
    tip: str
    stream: str
    history: History
    asked: str | None
    settings: GenerationSettings
    previews: bool
    target: np.ndarray | None = None


class Reached:
    """How near a bridge has come to its target."""

    def __init__(self, target: np.ndarray, start: np.ndarray) -> None:
        """Both uint8 HWC: where it leads and the frame that it began from."""
        self._target = target
        self._before = distance(start, target)

    def words(self, end: History) -> str:
        """One line for people."""
        now = distance(end.chunks[-1].frames[-1], self._target)
        where = "nearer than where it began" if now < self._before else "no nearer than where it began: other lines may help"
        return f"The bridge is done: {now:.0f} grey levels from its target (before it {self._before:.0f}), {where}."


class ProjectRun:
    """Makes chunk after chunk until the session has no more to do, or somebody says stop.

    Every chunk is a request of its own, so that a line written while others are being drawn still counts. That changes
    no pixel: random numbers follow from (seed, stream, chunk index) alone.
    """

    def __init__(self, session: Session, preset: Preset, work: Work) -> None:
        self.project = session.id
        self.preset = preset
        self.work = work
        self.drive = work.reason == "drive"
        self.done = threading.Event()
        self.step: Step | None = None
        self.reason = "length"
        self.error: Exception | None = None
        self._session = session
        self._control = Control()
        self._phase: type[Queued | Loading | Running] = Queued
        self._left_s: float | None = None
        self._keeps = False
        self._ended: History | None = None

    # What the session asks; under its lock --------------------------------------------------------------------------

    @property
    def job(self) -> Job:
        """What this run makes of the project's job."""
        if self.pausing:
            return Pausing(self.work)
        return Running(self.work, self._left_s) if self._phase is Running else self._phase(self.work)

    @property
    def pausing(self) -> bool:
        """Whether a pause is asked for."""
        return self._control.pausing

    @property
    def keeps_pending(self) -> bool:
        """Whether what is left should stay to be continued: after a pause, or when the server ends."""
        return self._keeps or self.pausing or self.reason == "paused"

    @property
    def was_resumed(self) -> bool:
        """Whether the pause that ended this run was withdrawn after it was obeyed."""
        return self.reason == "paused" and not self.pausing

    def pause(self) -> None:
        """Stop at the next boundary."""
        self._control.pause()

    def resume(self) -> None:
        """Withdraw the pause."""
        self._control.resume()

    def cancel(self, keep_pending: bool) -> None:
        """Drop the chunk in flight and stop; what is left to do stays or goes with it."""
        self._keeps = keep_pending
        self._control.cancel()

    def made_one(self, mean_s: float) -> None:
        """A chunk is in the file; chunks take `mean_s` seconds on the average."""
        self.work = replace(self.work, done=self.work.done + 1)
        self._left_s = round((self.work.total - self.work.done) * mean_s, 1)

    # What the device calls ------------------------------------------------------------------------------------------

    def loading(self) -> None:
        """It is this run's turn, and the model has to be loaded."""
        self._phase = Loading
        self._session.run_moved()

    def failed(self, error: Exception) -> None:
        """The model could not be loaded, or `execute` raised."""
        self.error = error

    def ended(self) -> None:
        """Tell the session, and whoever waits, that the run is over."""
        try:
            self._session.run_ended(self)
        finally:
            self.done.set()

    def execute(self, backend: Backend) -> None:
        """Make chunks until there is a reason to stop."""
        self._phase = Running
        self._session.run_begins(backend)
        chunk_s = float(backend.spec.chunk_frames / backend.spec.fps)
        due = time.monotonic()
        reached: Reached | None = None
        while (step := self._session.next_step(self, backend)) is not None:
            if step.target is not None and reached is None:
                first = step.history.chunks[-1 - self.work.done]  # before every chunk of the bridge, a pause or not
                reached = Reached(step.target, first.frames[-1])
            self.reason = self._make(step, backend)
            self.step = None
            if self.reason != "length":
                return
            if self.drive:
                # No faster than it plays: a line is what was held while its frames were seen. After a hiccup no rush.
                due = max(due + chunk_s, time.monotonic())
                self._sleep_until(due)
        if reached is not None and self._ended is not None:
            self._session.notice("info", reached.words(self._ended))

    def _make(self, step: Step, backend: Backend) -> str:
        """One chunk; returns why the engine stopped ("length": the chunk is done)."""
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
        reason = "cancelled"
        making = generate(request, self._control) if step.target is None else nearest(request, step.target, self._control)
        for event in making:
            self._session.happened(self, step, event, backend)
            if isinstance(event, events.Finished):
                reason, self._ended = event.reason, event.history
        return reason

    def _sleep_until(self, due: float) -> None:
        while (left := due - time.monotonic()) > 0 and not (self._control.cancelled or self.pausing):
            time.sleep(min(left, 0.02))
