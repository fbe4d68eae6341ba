"""One open project: the truth about it, the commands that make chunks, and the news to every browser attached to it.

Every public method may be called from any thread. Everything that is told is told under the session's lock, after it
has been written to the project file.
"""

from __future__ import annotations

import logging
import threading
import time
from collections import deque
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import AbstractContextManager, contextmanager
from dataclasses import replace

from app import jobs, present, wire
from app.drive import Wheel
from app.editing import MOST_HELD, Editor
from app.jobs import ACTIVE, Device, Failed, Idle, Job, Paused, Work
from app.live import Hub, Subscriber
from app.runs import ProjectRun, Step
from tv2tv_core import presets
from tv2tv_core.engine import events
from tv2tv_core.engine.backend import Backend
from tv2tv_core.errors import InputError, StorageError, TV2TVError
from tv2tv_core.presets import Preset
from tv2tv_core.project.file import ChunkRecord, Pending, Project
from tv2tv_core.project.pictures import decode_frame
from tv2tv_core.settings import resolve, setting, validate
from tv2tv_core.story import Story
from tv2tv_core.timeline import History

log = logging.getLogger(__name__)
HALT_S = 60.0
RECENT = 8
"""How many ends of the story are kept alive, and from how many chunks the time left is told."""
Views = Callable[[], list[dict[str, object]]]


class Session:
    """An open project; `Library` makes one per project and keeps it.

    `queue` and `exports` give what browsers are shown of these.
    """

    def __init__(self, project: Project, device: Device, hub: Hub, queue: Views, exports: Views) -> None:
        self.project = project
        self.id = project.info.id
        self._device, self._hub, self._queue, self._exports = device, hub, queue, exports
        self.lock = threading.RLock()
        self.path: list[ChunkRecord] = project.path(project.story.current.tip)
        self.on_change: Callable[[], None] = lambda: None
        self.used = time.monotonic()
        self._forming: wire.Forming | None = None
        self._run: ProjectRun | None = None
        self._failure: tuple[Work, str] | None = None
        self._told: Job = Idle()
        self._wheel = Wheel()
        self._alive: deque[History] = deque(maxlen=RECENT)
        self._recent_s: deque[float] = deque(maxlen=RECENT)
        self._warned = False
        self._started = False  # whether the start chunk is known to be encoded
        left = project.pending
        if left is not None and not (left.lasts and project.story.find(left.take)):
            project.set_pending(None)  # nobody is at the keys any more, or the take is gone
        self._told = self.job
        self.editor = Editor(self)

    # Reading --------------------------------------------------------------------------------------------------------

    @property
    def job(self) -> Job:
        """What the project's job is: it follows from the run, the last failure and the work that is left.

        Takes no lock: one project's queue message asks every other project.
        """
        run, failure, left = self._run, self._failure, self.project.pending
        if run is not None:
            return run.job
        if failure is not None:
            return Failed(*failure)
        return Paused(_work(left)) if left is not None else Idle()

    @property
    def busy(self) -> bool:
        """Whether it waits for the device or is on it."""
        return self._run is not None

    @property
    def preset(self) -> Preset:
        """The project's preset. Raises InputError when this copy of the studio does not have it."""
        return presets.shipped(self.project.info.preset)

    def drawing(self, take: str) -> int | None:
        """The index of the chunk of `take` whose line is settled because it is being made; None when there is none."""
        step = self._run.step if self._run is not None else None
        return self.project.record(step.tip).index + 1 if step is not None and step.take == take else None

    def attach(self, subscriber: Subscriber) -> None:
        """Send a snapshot, then everything that happens, to one browser."""
        with self.lock:
            self._hub.attach(self.id, subscriber, self.snapshot)

    def snapshot(self) -> dict[str, object]:
        """Everything a browser needs to show the project."""
        with self.lock:
            return {
                "type": "snapshot",
                "project": wire.project(self.project.info, self.path[0].id),
                "path": [wire.chunk(record) for record in self.path[1:]],
                **wire.story(self.project),
                "job": wire.job(self.job),
                "queue": self._queue(),
                "forming": wire.forming(self._forming),
                "exports": self._exports(),
            }

    # Commands -------------------------------------------------------------------------------------------------------

    def generate(self, seconds: float | None = None, chunks: int | None = None) -> None:
        """Make so many more seconds (or chunks) at the end of the active take."""
        with self.lock:
            self.refuse_if_busy()
            info = self.project.info
            if chunks is None:
                length = validate("seconds", info.settings["seconds"] if seconds is None else seconds)
                chunks = max(1, round(length * float(info.fps) / info.chunk_frames))
            most = round(setting("seconds").maximum * float(info.fps) / info.chunk_frames)
            if not isinstance(chunks, int) or not 1 <= chunks <= most:
                raise InputError(f"{chunks} chunks were asked for; allowed are 1 to {most} at a time.")
            story = self.project.story
            label = f"Generate {info.duration(chunks):.1f} s"
            self.begin(story, label, Pending(story.active, chunks, chunks, "generate"))

    def drive(self, on: bool) -> None:
        """Begin to make chunks as they are driven, or finish the chunk in flight and stop."""
        with self.lock:
            if on:
                self.refuse_if_busy()
                story = self.project.story
                self._wheel = Wheel()
                self.begin(story, "Drive", Pending(story.active, MOST_HELD, MOST_HELD, "drive"))
            elif self._run is not None and self._run.drive:
                self.pause()

    def hold(self, controls: Sequence[str]) -> None:
        """What is held in drive mode, by the names of `drive.CONTROLS`."""
        self._wheel.hold(controls)

    def pause(self) -> None:
        """Finish the chunk in flight, then stop; what is left can be continued (of a drive, nothing is left)."""
        with self.lock:
            run = self._run
            if run is None:
                raise InputError("Nothing is being generated right now; press Generate first.")
            run.pause()
            if self._device.withdraw(run):
                run.ended()
            self.tell_job()

    def resume(self) -> None:
        """Go on with what a pause, an error or the end of the server left to do; also withdraws a pause."""
        with self.lock:
            if self._run is not None and self._run.pausing and not self._run.drive:
                self._run.resume()
                self.tell_job()
                return
            left = self.project.pending
            if self._run is not None or left is None:
                raise InputError("There is nothing to continue; press Generate.")
            self._enqueue(left)

    def stop(self) -> None:
        """Drop the chunk in flight and what was left to do."""
        with self.quiet():
            self.project.set_pending(None)

    def rename(self, name: str) -> None:
        """Give the project another name."""
        with self.lock:
            self.project.rename(name)
            self._tell_project()
            self.on_change()

    def set_settings(self, values: Mapping[str, object]) -> None:
        """Change generation settings; they hold from the next chunk on."""
        with self.lock:
            self.project.set_settings(values)
            self._tell_project()

    def tell(self, message: Mapping[str, object]) -> None:
        """Send a message to every attached browser, in order with all others."""
        with self.lock:
            self._publish(message)

    def notice(self, level: str, text: str) -> None:
        """Tell people something in passing; `level` is "info", "warning" or "error"."""
        self.tell({"type": "notice", "level": level, "text": text})

    def close(self) -> None:
        """Stop a run (what was left stays to be continued) and close the file."""
        with self.quiet(keep_pending=True):
            self.project.close()

    # What the run tells; called by the device's thread --------------------------------------------------------------

    def run_moved(self) -> None:
        """The run has come to its turn, or its model is there."""
        with self.lock:
            self.tell_job()

    def run_begins(self, backend: Backend) -> None:
        """The model is there. Raises InputError when it draws other pictures than this project has."""
        info, spec = self.project.info, backend.spec
        if (spec.width, spec.height, spec.chunk_frames) != (info.width, info.height, info.chunk_frames):
            raise InputError(
                f"This project has chunks of {info.chunk_frames} frames of {info.width} x {info.height}; its preset now draws "
                f"{spec.chunk_frames} of {spec.width} x {spec.height}. Export it and start a new project from the clip."
            )
        with self.lock:
            self.tell_job()
            if spec.model_hash != info.model_hash and not self._warned:
                self._warned = True
                self.notice("warning", "This project was begun with other weights; new chunks come from today's.")

    def next_step(self, run: ProjectRun, backend: Backend) -> Step | None:
        """The next chunk that this run should make; None when nothing is left or the run is no longer this session's."""
        with self.lock:
            left = self.project.pending
            if left is None or run is not self._run:
                return None
            take = self.project.story.take(left.take)
            history = self.history(take.tip, backend)
            index = self.project.record(take.tip).index + 1
            asked = self._wheel.line() if run.drive else dict(take.planned).get(index)
            png, info = left.target if asked is None else None, self.project.info
            target = None if png is None else decode_frame(png, info.width, info.height)
            chosen = resolve(info.settings)
            run.step = Step(take.id, take.tip, take.stream, history, asked, chosen, self._hub.watched(self.id), target)
            return run.step

    def happened(self, run: ProjectRun, step: Step, event: events.Event, backend: Backend) -> None:
        """Take one event of the engine; a finished chunk is in the file before anyone hears of it."""
        if isinstance(event, events.ChunkDone):
            self._chunk_done(run, step, event, backend)
        if isinstance(event, events.ChunkDone | events.Finished | events.Failed):
            return
        with self.lock:
            now = self._forming
            if now is None or (now.take, now.index) != (step.take, event.index):
                now = wire.Forming(event.index, step.take)
            self._forming, message = wire.formed(now, event, step.settings.steps)
            self._publish(message, optional=isinstance(event, events.DenoisingStep))

    def run_ended(self, run: ProjectRun) -> None:
        """Nothing more comes from this run: keep or drop what is left, and tell how it ended."""
        with self.lock:
            if self._run is not run:
                return
            left, again = self.project.pending, run.was_resumed
            if run.error is not None:
                self._failure = (run.work, present.failure(run.error)[0])
            try:
                if left is not None and (run.drive or not (run.keeps_pending or run.error)):
                    self.project.set_pending(None)
                self.project.drop_empty_edit()
            except StorageError as error:
                log.warning("after a run: %s", error)  # a full disk: what is left stays to be continued
            self._run = None  # last: others read the job without the lock
            if self._forming is not None:
                self._forming = None
                self._publish({"type": "dropped"})
            if run.reason == "ended":
                self.notice("info", "The model ended the clip here.")
            self.tell_story()
            if again and self.project.pending is not None:
                self._enqueue(self.project.pending)  # the pause that it obeyed was withdrawn a moment too late
            self.tell_job()

    # What the editor uses -------------------------------------------------------------------------------------------

    @contextmanager
    def quiet(self, keep_pending: bool = False) -> Iterator[None]:
        """Hold the lock while nothing runs: cancels the run, waits for its end, and looks again. Not for its thread."""
        while True:
            with self.lock:
                run = self._run
                if run is None:
                    try:
                        yield
                    finally:
                        self._failure = None
                        self.tell_job()
                    return
                run.cancel(keep_pending)
                if self._device.withdraw(run):
                    run.ended()
            if not run.done.wait(HALT_S):
                raise TV2TVError("The chunk in progress does not stop; wait a moment and try again.")

    def begin(self, story: Story, label: str, pending: Pending) -> None:
        """Make an edit and start the run that fills it. The caller holds the lock; nothing runs."""
        self.refuse_if_busy()
        self.preset  # noqa: B018 (refuses before anything is changed)
        self.project.set_pending(None)  # what a pause had left is replaced, and the edit stands for itself
        self.project.edit(story, label)
        self.tell_story()
        self._enqueue(pending)

    def edit(self, story: Story, label: str) -> None:
        """Make an edit. The caller holds the lock."""
        self.project.edit(story, label)
        self.tell_story()

    def refuse_if_busy(self) -> None:
        """Raise InputError while this project waits for the device or is on it."""
        if self._run is not None:
            raise InputError("This project is already being generated: pause or stop it first.")

    def tell_story(self) -> None:
        """Tell what the story is now and which chunks of the path are others than before. The caller holds the lock."""
        old = [record.id for record in self.path]
        self.path = self.project.path(self.project.story.current.tip)
        keep, rest = wire.changed_path(old[1:], self.path[1:])
        self._publish({"type": "story", **wire.story(self.project), "keep": keep, "rest": rest})

    def tell_job(self) -> None:
        """Tell what the job is, if it is another than was told last. The caller holds the lock."""
        job, before = self.job, self._told
        if job == before:
            return
        self._told = job
        self._publish({"type": "job", "job": wire.job(job)})
        if type(job) is not type(before) or isinstance(job, ACTIVE):
            self.on_change()

    def thinking(self) -> AbstractContextManager[Backend]:
        """The model for short work beside the queue."""
        return self._device.backend(self.preset)

    def history(self, tip: str, backend: Backend) -> History:
        """The story up to a chunk, ready for the engine; encodes the start frame the first time."""
        with self.lock:
            if not (self._started or self.project.start_encoded):
                root = self.path[0].id
                self.project.set_start(backend.begin(self.project.info.prompt, self.project.frames(root)))
            self._started = True
            history = self.project.history(tip)
            self._hold(history)
            return history

    # Inside ---------------------------------------------------------------------------------------------------------

    def _chunk_done(self, run: ProjectRun, step: Step, event: events.ChunkDone, backend: Backend) -> None:
        with self.lock:
            left = self.project.pending
            if left is not None and left.take == step.take:
                left = replace(left, chunks=left.chunks - 1) if left.chunks > 1 else None
            drawn = ("steps", "guidance", "temperature", "top_p")
            options = {name: getattr(step.settings, name) for name in drawn}
            options |= {"stream": step.stream, "model_hash": backend.spec.model_hash}
            record = self.project.commit_chunk(event.history, step.take, step.asked, options, event.seconds, left)
            self._hold(event.history)
            self._forming = None
            if step.take == self.project.story.active:
                self.path.append(record)
            self._publish({"type": "chunk", "take": step.take, "chunk": wire.chunk(record)})
            self._recent_s.append(event.seconds)
            run.made_one(sum(self._recent_s) / len(self._recent_s))
            self.tell_job()

    def _enqueue(self, pending: Pending) -> None:
        preset = self.preset
        self.project.set_pending(pending)
        self._failure = None
        self._run = run = ProjectRun(self, preset, _work(pending))
        self.tell_job()
        try:
            self._device.enqueue(run)
        except TV2TVError:
            self._run = None
            self.tell_job()
            raise

    def _hold(self, end: History) -> None:
        """Keep the newest ends of the story alive: the backend's caches live as long as the nodes they belong to."""
        if self._alive and self._alive[-1] in (end, end.parent and end.parent.boundary):
            self._alive.pop()  # the longer story holds the shorter one
        self._alive.append(end)

    def _tell_project(self) -> None:
        self._publish({"type": "project", "project": wire.project(self.project.info, self.path[0].id)})

    def _publish(self, message: Mapping[str, object], optional: bool = False) -> None:
        self._hub.publish(self.id, message, optional)


def _work(pending: Pending) -> jobs.Work:
    return Work(pending.reason, pending.take, pending.total - pending.chunks, pending.total)
