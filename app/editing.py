"""The commands that change a project's story: rewrite, try again, plan ahead, switch takes, undo. Uses a session's parts."""

from __future__ import annotations

import secrets
from collections.abc import Callable, Mapping, Sequence
from dataclasses import replace
from typing import TYPE_CHECKING, Literal

import numpy as np

from app import wire
from tv2tv_core.engine.generate import asking, check_line, suggest
from tv2tv_core.errors import InputError
from tv2tv_core.intent import PREFIX, text_of
from tv2tv_core.project.file import ChunkRecord, Pending
from tv2tv_core.project.pictures import encode_frames
from tv2tv_core.settings import setting, validate
from tv2tv_core.story import Story

if TYPE_CHECKING:
    from app.sessions import Session

MOST_HELD = 525
"""Two minutes of chunks: the longest that one line may be held, and the longest drive."""


SUGGESTIONS = 3


class Editor:
    """Edits of one session's story. Every method may be called from any thread; an edit is in the file when it returns."""

    def __init__(self, session: Session) -> None:
        self._session = session
        self._project = session.project
        self._lock = session.lock

    # Rewriting what is made -----------------------------------------------------------------------------------------

    def regenerate(self, chunk: str, line: str, hold: int = 1) -> str:
        """A new take from the boundary before `chunk`, under `line` for `hold` chunks, as long as the old future.

        A person's later lines are kept. An unchanged line draws other random numbers, since nothing else would change.
        An empty line leaves the chunk to the model. Returns the id of the new take.
        """
        wanted = check_line(line)
        if not isinstance(hold, int) or not 1 <= hold <= MOST_HELD:
            raise InputError(f"hold is {hold!r}; allowed are 1 to {MOST_HELD} chunks.")
        self._path_with(chunk)  # refuses before anything is stopped
        with self._session.quiet(keep_pending=True):
            take, path, record = self._path_with(chunk)
            held = path[record.index + 1 :][:hold]
            same = len(held) == hold and all(one.plan == wanted for one in held)
            same = same or (text_of(wanted) is not None and record.asked == wanted)
            return self._fork(take, path, record, (wanted, hold), new_stream=same)

    def retry(self, chunk: str) -> str:
        """A new take from the boundary before `chunk`: the same line or intent, other random numbers. Returns its id."""
        self._path_with(chunk)
        with self._session.quiet(keep_pending=True):
            take, path, record = self._path_with(chunk)
            again = record.plan if text_of(record.asked) is None else record.asked
            return self._fork(take, path, record, (again, 1), new_stream=True)

    def suggest(self, chunk: str | None = None, index: int | None = None, intent: str | None = None) -> list[str]:
        """Three other next lines at the boundary before `chunk` (None: at the end of the active take).

        The model reads the intent that it would read there when it generates: the one that `chunk` was asked for, or the last
        one planned up to chunk number `index` (None: the next). `intent` stands in its stead; an empty one takes it away.
        """
        with self._lock:
            if chunk is None:
                end, plan = self._session.path[-1], None
                tip, last = end.id, max(end.index + 1, index or 0)
                planned = [row for at, row in self._project.story.current.planned if at <= last and text_of(row) is not None]
                asked = planned[-1] if planned else None
            else:
                record = self._project.record(chunk)
                tip, plan, asked = record.parent or record.id, record.plan, record.asked
            seed = self._project.info.settings["seed"]
        if intent is not None:
            asked = check_line(PREFIX + intent, "The intent") if intent.strip() else None
        with self._session.thinking() as backend:
            history = asking(backend, self._session.history(tip, backend), asked)
            lines = suggest(backend, history, SUGGESTIONS + 1, seed=seed, take=secrets.token_hex(4))
        return [line for line in lines if line != plan][:SUGGESTIONS]

    # Bridging -------------------------------------------------------------------------------------------------------

    def bridge(self, chunk: str | None, target: np.ndarray, seconds: float) -> str:
        """A new take from the end of `chunk` (None: of the shown take) towards a frame (uint8 HWC); returns its id.

        See `tv2tv_core.engine.bridge`. Raises InputError for a frame of another size.
        """
        info = self._project.info
        length = validate("seconds", seconds)
        if target.shape != (info.height, info.width, 3):
            raise InputError(f"The target must have {info.width} x {info.height} pixels, as this project's frames.")
        with self._lock:
            self._session.refuse_if_busy()
            story = self._project.story
            take, record = (story.active, self._session.path[-1]) if chunk is None else self._path_with(chunk)[::2]
            forked = story.fork(take, record.id, record.index + 1, stream=secrets.token_hex(4))
            chunks = max(1, round(length * float(info.fps) / info.chunk_frames))
            [png] = encode_frames(target[None])
            self._session.begin(forked, "Bridge", Pending(forked.active, chunks, chunks, "bridge", png))
            return forked.active

    # Planning what is not made --------------------------------------------------------------------------------------

    def plan(self, lines: Mapping[int, str | None]) -> None:
        """Lines for chunks of the active take that are not made yet; None leaves one to the model."""
        with self._lock:
            story, made = self._project.story, self._session.path[-1].index
            past = [index for index in lines if index <= made]
            if past:
                raise InputError(f"Chunk {past[0] + 1} is made already: rewrite it with Regenerate from here.")
            late = self._session.drawing(story.active)
            if late is not None and lines.get(late):
                # Its own line is settled; what was written for it is still the next thing to happen.
                lines = {late + 1: lines[late]} | {index: line for index, line in lines.items() if index != late}
                self._session.notice("info", f"Chunk {late + 1} is being drawn already: your line is for chunk {late + 2}.")
            self._session.edit(story.plan(story.active, lines), "Plan ahead")

    def storyboard(self, beats: Sequence[str], seconds_per_beat: float, generate: bool = False) -> None:
        """Lines for the time after the end of the active take, each for so many seconds; then make them if asked to.

        An empty beat is left to the model.
        """
        info = self._project.info
        per_beat = max(1, round(validate("seconds", seconds_per_beat) * float(info.fps) / info.chunk_frames))
        lines = [check_line(beat, f"Beat {number}") for number, beat in enumerate(beats, 1)]
        most = round(setting("seconds").maximum * float(info.fps) / info.chunk_frames)
        if not lines or len(lines) * per_beat > most:
            raise InputError(f"The storyboard has {len(lines)} beats of {per_beat} chunks; 1 to {most} chunks are allowed.")
        with self._lock:
            if generate:
                self._session.refuse_if_busy()
            late = self._session.drawing(self._project.story.active)
            first = self._session.path[-1].index + 1 if late is None else late + 1
            ahead: dict[int, str | None] = {}
            for number, line in enumerate(lines):
                ahead |= dict.fromkeys(range(first + number * per_beat, first + (number + 1) * per_beat))
                ahead |= said(line, first + number * per_beat, per_beat)
            self.plan(ahead)
            if generate:
                self._session.generate(chunks=len(ahead))

    def restore(self, lines: Mapping[int, str], stream: str | None) -> None:
        """Put the plan of an exported clip into a new project: lines by chunk, and the name of its random numbers."""
        with self._lock:
            story = self._project.story
            if stream is not None:
                story = replace(story, takes=(replace(story.current, stream=stream),))
            self._project.amend(story.plan(story.active, lines))
            self._session.tell_story()

    # Takes ----------------------------------------------------------------------------------------------------------

    def path_of(self, take: str) -> list[dict[str, object]]:
        """The chunks of any take as browsers receive them. Raises InputError for an unknown one."""
        with self._lock:
            return [wire.chunk(record) for record in self._project.path(self._project.story.take(take).tip)[1:]]

    def switch(self, take: str) -> None:
        """Make a take the active one. A run goes on with its own take."""
        with self._lock:
            story = self._project.story
            if story.active != take:
                self._session.edit(story.switch(take), f"Switch to {story.take(take).name}")

    def rename_take(self, take: str, name: str) -> None:
        """Give a take another name."""
        with self._lock:
            self._session.edit(self._project.story.rename(take, name), "Rename take")

    def delete_take(self, take: str) -> None:
        """Remove a take from the story; its chunks stay in the file and undo brings it back."""
        with self._lock:
            self._project.story.delete(take)  # refuses before anything is stopped
            left = self._project.pending
            if left is None or left.take != take:
                self._delete(take)
                return
        with self._session.quiet():
            self._project.set_pending(None)
            self._delete(take)

    def _delete(self, take: str) -> None:
        story = self._project.story
        self._session.edit(story.delete(take), f"Delete {story.take(take).name}")

    # Undo -----------------------------------------------------------------------------------------------------------

    def undo(self) -> None:
        """Take the last edit back; a run is stopped first, unless its take stays as it is."""
        self._move(-1, self._project.undo, "There is nothing to undo.")

    def redo(self) -> None:
        """Bring the last undone edit back; a run is stopped first, unless its take stays as it is."""
        self._move(1, self._project.redo, "There is nothing to redo.")

    def _move(self, step: Literal[-1, 1], move: Callable[[], Story | None], nothing: str) -> None:
        with self._lock:
            there = self._project.peek(step)
            if there is None:
                raise InputError(nothing)
            left = self._project.pending
            if left is None or self._same_end(there, left.take):
                move()
                self._session.tell_story()
                return
        with self._session.quiet():
            self._project.set_pending(None)
            if move() is None:
                raise InputError(nothing)
            self._session.tell_story()

    def _same_end(self, there: Story, take: str) -> bool:
        """Whether a take is in another story too and ends at the same chunk."""
        here, other = self._project.story.find(take), there.find(take)
        return here is not None and other is not None and here.tip == other.tip

    # Inside ---------------------------------------------------------------------------------------------------------

    def _path_with(self, chunk: str) -> tuple[str, list[ChunkRecord], ChunkRecord]:
        """A take that holds a chunk (the active one first), its path, and the chunk. Raises InputError."""
        with self._lock:
            if self._project.record(chunk).parent is None:
                raise InputError("The start frame is given, not made: choose a chunk after it.")
            story = self._project.story
            for take in sorted(story.takes, key=lambda one: one.id != story.active):
                path = self._project.path(take.tip)
                for record in path:
                    if record.id == chunk:
                        return take.id, path, record
        raise InputError("The take with that chunk was deleted, perhaps in another window: undo brings it back.")

    def _fork(self, take: str, path: list[ChunkRecord], record: ChunkRecord, asked: tuple[str, int], new_stream: bool) -> str:
        """A new active take from the boundary before `record`, and the run that fills it."""
        story, at = self._project.story, record.index
        old = path[at + 1 :]  # the start chunk stands first on a path, so this begins with `record` itself
        lines = lines_ahead(dict(story.take(take).planned), old, *asked)
        stream = secrets.token_hex(4) if new_stream else None
        forked = story.fork(take, record.parent, at, stream=stream, planned=tuple(sorted(lines.items())))
        chunks = max(len(old), asked[1])
        left = self._project.pending
        if left is not None and left.take == take and left.reason == "generate":
            chunks += left.chunks  # the take was still growing: the new one grows as far
        self._session.begin(forked, f"Rewrite chunk {at + 1}", Pending(forked.active, chunks, chunks, "generate"))
        return forked.active


def lines_ahead(planned: dict[int, str], old: Sequence[ChunkRecord], line: str, hold: int) -> dict[int, str]:
    """What a person asks of the chunks that replace `old` (the rewritten one first): by index, the model's left out.

    `line` replaces the whole beat: the rewritten chunk and those after it of which the same was asked; it is held for at
    least `hold` chunks. An empty line leaves the beat to the model. What was asked of later chunks stays asked.
    """
    first, beat = old[0].index, old[0].asked
    end = first
    while beat is not None and end - first < len(old) and old[end - first].asked == beat:
        end += 1
    end = max(end, first + hold)
    kept = planned | {record.index: record.asked for record in old if record.asked}
    return {index: text for index, text in kept.items() if index >= end} | said(line, first, end - first)


def said(line: str, first: int, hold: int) -> dict[int, str]:
    """A row of a plan for `hold` chunks from `first` on, by chunk index: a line at each of them, an intent once."""
    return dict.fromkeys(range(first, first + (hold if text_of(line) is None else 1)), line) if line else {}
