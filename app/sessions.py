"""One open project: the truth about it, the commands that change it, and the news to every browser attached to it.

Every public method may be called from any thread. Everything that is told is told under the session's lock, after it
has been written to the project file.
"""

from __future__ import annotations

import threading
from collections import deque
from collections.abc import Callable, Mapping, Sequence
from contextlib import AbstractContextManager
from dataclasses import replace

from app import jobs, present, wire
from app.drive import Wheel
from app.editing import MOST_HELD, Editor
from app.jobs import ACTIVE, Device, Failed, Idle, Job, Loading, Paused, Pausing, Queued, Running, Work
from app.live import Hub, Subscriber
from app.runs import ProjectRun, Step
from tv2tv_core import presets
from tv2tv_core.engine import events
from tv2tv_core.engine.backend import Backend
from tv2tv_core.errors import InputError, TV2TVError
from tv2tv_core.project.file import ChunkRecord, Pending, Project
from tv2tv_core.settings import resolve, setting, validate
from tv2tv_core.story import Story
from tv2tv_core.timeline import History

HALT_S = 60.0
RECENT = 8


class Session:
    """An open project; `Library` makes one per project and keeps it."""

    def __init__(self, project: Project, device: Device, hub: Hub, queue: Callable[[], list[dict[str, object]]]) -> None:
        self.project = project
        self.id = project.info.id
        self.preset = presets.load(project.info.preset)
        self._device, self._hub, self._queue = device, hub, queue
        self.lock = threading.RLock()
        self.editor = Editor(self)
        self.path: list[ChunkRecord] = project.path(project.story.current.tip)
        self._forming: wire.Forming | None = None
        self._run: ProjectRun | None = None
        self._wheel = Wheel()
        self._alive: deque[History] = deque(maxlen=RECENT)
        self._recent_s: deque[float] = deque(maxlen=RECENT)
        self._warned = False
        self._started = False  # whether the start chunk is known to be encoded
        self.on_change: Callable[[], None] = lambda: None
        self.exports: Callable[[], list[dict[str, object]]] = list
        left = project.pending
        self._job: Job = Paused(_work(left)) if left else Idle()

    # Reading --------------------------------------------------------------------------------------------------------

    @property
    def job(self) -> Job:
        """What the project's job is right now."""
        return self._job

    @property
    def busy(self) -> bool:
        """Whether it waits for the device or is on it."""
        return isinstance(self._job, ACTIVE)

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
                "job": wire.job(self._job),
                "queue": self._queue(),
                "forming": wire.forming(self._forming),
                "exports": self.exports(),
            }

    def take_path(self, take: str) -> list[dict[str, object]]:
        """The chunks of any take. Raises InputError for an unknown one."""
        with self.lock:
            return [wire.chunk(record) for record in self.project.path(self.project.story.take(take).tip)[1:]]

    # Commands: making chunks ----------------------------------------------------------------------------------------

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
            shown = chunks * info.chunk_frames / float(info.fps)
            self.begin(story, f"Generate {shown:.1f} s", Pending(story.active, chunks, chunks, "generate"))

    def drive(self, on: bool) -> None:
        """Begin to make chunks as they are driven, or finish the chunk in flight and stop."""
        with self.lock:
            if on:
                self.refuse_if_busy()
                story = self.project.story
                self._wheel = Wheel()
                self.begin(story, "Drive", Pending(story.active, MOST_HELD, MOST_HELD, "drive"))
            elif self._run and self._run.drive:
                self.project.set_pending(None)
                self._run.control.pause()

    def hold(self, controls: Sequence[str]) -> None:
        """What is held in drive mode, by the names of `drive.CONTROLS`."""
        self._wheel.hold(controls)

    def pause(self) -> None:
        """Finish the chunk in flight, then stop; what is left can be continued."""
        with self.lock:
            run, job = self._run, self._job
            if run is None or not isinstance(job, ACTIVE):
                raise InputError("Nothing is being generated right now; press Generate first.")
            if isinstance(job, Queued) and self._device.withdraw(run):
                self._run = None
                self._set_job(Paused(job.work))
                run.done.set()
                return
            run.control.pause()
            self._set_job(Pausing(job.work))

    def resume(self) -> None:
        """Go on with what a pause, an error or the end of the server left to do; also withdraws a pause."""
        with self.lock:
            if isinstance(self._job, Pausing) and self._run:
                self._run.control.resume()
                self._set_job(Running(self._job.work))
                return
            left = self.project.pending
            if not isinstance(self._job, Paused | Failed) or left is None:
                raise InputError("There is nothing to continue; press Generate.")
            self.project.story.take(left.take)
            self._enqueue(left)

    def stop(self) -> None:
        """Drop the chunk in flight and what was left to do."""
        self.halt()
        with self.lock:
            self.project.set_pending(None)
            self._set_job(Idle())

    # Commands: the project ---------------------------------------------------------------------------------------

    def rename(self, name: str) -> None:
        """Give the project another name."""
        with self.lock:
            self.project.rename(name)
            self._tell_project()
        self.on_change()

    def set_settings(self, values: Mapping[str, object]) -> None:
        """Change generation settings; they hold from the next chunk on."""
        with self.lock:
            self.project.set_settings({name: validate(name, value) for name, value in values.items()})
            self._tell_project()

    def tell(self, message: Mapping[str, object]) -> None:
        """Send a message to every attached browser, in order with all others."""
        with self.lock:
            self._publish(message)

    def close(self, keep_pending: bool = True) -> None:
        """Stop a run (what was left stays to be continued) and close the file."""
        self.halt(keep_pending)
        with self.lock:
            self.project.close()

    # What the run tells; called by the device's thread --------------------------------------------------------------

    def run_loading(self, run: ProjectRun) -> None:
        """The model is being loaded for this run."""
        with self.lock:
            if isinstance(self._job, Queued):
                self._set_job(Loading(self._job.work))

    def run_begins(self, run: ProjectRun, backend: Backend) -> None:
        """The model is there."""
        with self.lock:
            if isinstance(self._job, Queued | Loading):
                self._set_job(Running(self._job.work))
            if backend.spec.model_hash != self.project.info.model_hash and not self._warned:
                self._warned = True
                self._notice("warning", "This project was begun with other weights; new chunks come from today's.")

    def next_step(self, run: ProjectRun, backend: Backend) -> Step | None:
        """The next chunk that this run should make; None when nothing is left."""
        with self.lock:
            left = self.project.pending
            if left is None:
                return None
            take = self.project.story.take(left.take)
            history = self.history(take.tip, backend)
            index = self.project.record(take.tip).index + 1
            asked = self._wheel.line() if run.drive else dict(take.planned).get(index)
            chosen = resolve(self.project.info.settings)
            return Step(take.id, take.stream, history, asked, chosen, self._hub.watched(self.id))

    def happened(self, run: ProjectRun, step: Step, event: events.Event, backend: Backend) -> None:
        """Take one event of the engine; a finished chunk is in the file before anyone hears of it."""
        if isinstance(event, events.ChunkDone):
            self._chunk_done(step, event, backend)
            return
        with self.lock:
            match event:
                case events.TextToken(index=index, text=text):
                    now = self._formed(step, index)
                    self._forming = replace(now, text=now.text + text)
                    self._publish({"type": "token", "index": index, "take": step.take, "text": text})
                case events.PlanDone(index=index, line=line, source=source):
                    self._forming = replace(self._formed(step, index), text=line, line=line, source=source)
                    self._publish({"type": "line", "index": index, "take": step.take, "line": line, "source": source})
                case events.ChunkStarted(index=index, plan=plan):
                    now = self._formed(step, index)
                    self._forming = replace(now, text=now.line or "", steps=step.settings.steps)
                    self._publish({"type": "started", "index": index, "take": step.take, "plan": plan})
                case events.DenoisingStep(index=index, step=done, steps=steps, preview=preview):
                    seen = wire.previews(preview)
                    self._forming = replace(self._formed(step, index), step=done, steps=steps, preview=seen)
                    news = {"type": "step", "index": index, "take": step.take, "step": done, "steps": steps}
                    self._publish({**news, "preview": seen and list(seen)}, optional=True)

    def stopped(self, run: ProjectRun, reason: str) -> None:
        """The engine stopped before the work was done: paused, ended by the model, or cancelled."""
        with self.lock:
            self._drop_forming()
            if reason == "ended":
                self.project.set_pending(None)
                self._notice("info", "The model ended the clip here.")
            elif reason == "cancelled" and not run.keep_pending:
                self.project.set_pending(None)

    def run_failed(self, run: ProjectRun, error: Exception) -> None:
        """The run broke off; what it had finished is kept, the rest can be continued."""
        words, _ = present.failure(error)
        with self.lock:
            self._drop_forming()
            work = getattr(self._job, "work", None) or Work("generate", self.project.story.active, 0, 0)
            self._set_job(Failed(work, words))

    def run_ended(self, run: ProjectRun) -> None:
        """Nothing more comes from this run."""
        with self.lock:
            if self._run is not run:
                return
            self._run = None
            left = self.project.pending
            self.project.drop_empty_edit()
            self.tell_story()
            if not isinstance(self._job, Failed):
                self._set_job(Paused(_work(left)) if left else Idle())
        self.on_change()

    # What the editor uses -------------------------------------------------------------------------------------------

    def begin(self, story: Story, label: str, pending: Pending) -> None:
        """Make an edit and start the run that fills it. The caller holds the lock; nothing runs."""
        self.project.set_pending(None)  # what a pause had left is replaced, and the edit stands for itself
        self.project.edit(story, label)
        self.tell_story()
        self._enqueue(pending)

    def edit(self, story: Story, label: str) -> None:
        """Make an edit. The caller holds the lock."""
        self.project.edit(story, label)
        self.tell_story()

    def halt(self, keep_pending: bool = False) -> None:
        """Cancel the run, if there is one, and wait until it has ended. Never called by the device's thread."""
        with self.lock:
            run = self._run
            if run is None:
                return
            run.keep_pending = keep_pending
            run.control.cancel()
            if self._device.withdraw(run):
                self.stopped(run, "cancelled")
                self.run_ended(run)
                run.done.set()
                return
        if not run.done.wait(HALT_S):
            raise TV2TVError("The chunk in progress does not stop; wait a moment and try again.")

    def refuse_if_busy(self) -> None:
        """Raise InputError while this project waits for the device or is on it."""
        if self.busy:
            raise InputError("This project is already being generated: pause or stop it first.")

    def tell_story(self) -> None:
        """Tell what the story is now and which chunks of the path are others than before. The caller holds the lock."""
        old = [record.id for record in self.path]
        self.path = self.project.path(self.project.story.current.tip)
        keep, rest = wire.changed_path(old[1:], self.path[1:])
        self._publish({"type": "story", **wire.story(self.project), "keep": keep, "rest": rest})

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

    def _chunk_done(self, step: Step, event: events.ChunkDone, backend: Backend) -> None:
        with self.lock:
            left = self.project.pending
            if left is not None:
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
            work = getattr(self._job, "work", None)
            if work is not None and isinstance(self._job, Running | Pausing):
                work = replace(work, done=work.done + 1)
                mean = sum(self._recent_s) / len(self._recent_s)
                rest = round((work.total - work.done) * mean, 1)
                self._set_job(Running(work, rest) if isinstance(self._job, Running) else Pausing(work))

    def _enqueue(self, pending: Pending) -> None:
        self.project.set_pending(pending)
        run = ProjectRun(self, self.id, self.preset, pending.reason == "drive")
        self._run = run
        self._set_job(Queued(_work(pending)))
        try:
            self._device.enqueue(run)
        except TV2TVError:
            self._run = None
            self._set_job(Paused(_work(pending)))
            raise

    def _hold(self, end: History) -> None:
        """Keep the newest ends of the story alive: the backend's caches live as long as the nodes they belong to."""
        if self._alive and self._alive[-1] in (end, end.parent, end.parent and end.parent.parent):
            self._alive.pop()  # the longer story holds the shorter one
        self._alive.append(end)

    def _formed(self, step: Step, index: int) -> wire.Forming:
        now = self._forming
        return now if now and (now.take, now.index) == (step.take, index) else wire.Forming(index, step.take)

    def _drop_forming(self) -> None:
        if self._forming is not None:
            self._forming = None
            self._publish({"type": "dropped"})

    def _set_job(self, job: Job) -> None:
        if job != self._job:
            self._job = job
            self._publish({"type": "job", "job": wire.job(job)})

    def _tell_project(self) -> None:
        self._publish({"type": "project", "project": wire.project(self.project.info, self.path[0].id)})

    def _notice(self, level: str, text: str) -> None:
        self._publish({"type": "notice", "level": level, "text": text})

    def _publish(self, message: Mapping[str, object], optional: bool = False) -> None:
        self._hub.publish(self.id, message, optional)


def _work(pending: Pending) -> jobs.Work:
    return Work(pending.reason, pending.take, pending.total - pending.chunks, pending.total)
