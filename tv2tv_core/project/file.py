"""A project file on disk: SQLite, every change one transaction, chunks only ever added; it knows no backend and no page."""

from __future__ import annotations

import contextlib
import sqlite3
import threading
from collections.abc import Iterator, Mapping
from dataclasses import replace
from pathlib import Path
from typing import Any, Literal

import numpy as np

from tv2tv_core.errors import InputError, StorageError
from tv2tv_core.intent import row
from tv2tv_core.media.atomic import atomic_file, shown
from tv2tv_core.project import schema
from tv2tv_core.project.history import LiveNodes, StoredChunk
from tv2tv_core.project.load import Loaded, check_tips, load, peek_frame, summary
from tv2tv_core.project.lock import FileLock, owned
from tv2tv_core.project.pictures import check_png, decode_frame, decode_latents
from tv2tv_core.project.records import (
    ChunkRecord,
    Pending,
    ProjectInfo,
    ProjectSummary,
    info_to_json,
    now,
    parse,
    pending_to_json,
    put,
)
from tv2tv_core.project.undo import MAX_LABEL, Revision
from tv2tv_core.project.write import build_file, encode_chunk, insert_chunk, move_file, rename_id, write_latents
from tv2tv_core.settings import shorten, validate
from tv2tv_core.story import Story, Take, new_id
from tv2tv_core.timeline import ChunkSegment, History, IntentSegment, TextSegment

__all__ = ["ChunkRecord", "Pending", "Project", "ProjectInfo", "ProjectSummary", "StoredChunk", "move_file", "peek_frame",
           "summary"]  # fmt: skip

MAIN = "main"  # the first take's random numbers, as on the command line


class Project:
    """One open project file, the only one of its kind: a second opening, here or in another process, is refused.

    Every method is safe to call from any thread. A change is on disk when its method returns; when the disk refuses,
    StorageError is raised and nothing changed, here or there. Use `create` or `open`, and `close` at the end.
    """

    def __init__(self, path: Path, lock: FileLock, db: sqlite3.Connection, loaded: Loaded) -> None:
        self.file = path
        self._file_lock = lock
        self._db: sqlite3.Connection | None = db
        self._guard = threading.RLock()
        self._info = loaded.info
        self._pending = loaded.pending
        self._story = loaded.story
        self._undo = loaded.undo
        self._records = loaded.records
        self._start_encoded = loaded.start_encoded
        self._live = LiveNodes(self)

    # Opening and closing --------------------------------------------------------------------------------------------

    @classmethod
    def create(cls, path: Path, info: ProjectInfo, start: History) -> Project:
        """A new file whose root is the start chunk of `start` (what `backend.begin` gave), with one empty take.

        The latents of `start` may be an empty array: `set_start` then brings them.

        The file appears when it is complete. Raises StorageError when it cannot be written or is there already.
        """
        path = Path(path)
        if start.parent is not None or start.prompt != info.prompt:
            raise ValueError("a project starts with a start chunk alone, made from the project's prompt")
        zeros = {"steps": 0, "guidance": 0.0, "temperature": 0.0, "top_p": 0.0, "seconds": 0.0}
        root = ChunkRecord(id=new_id(), parent=None, index=-1, line=None, source=None, plan="", asked=None, seed=None,
                           stream=MAIN, model_hash=info.model_hash, created=now(), **zeros)  # fmt: skip
        take = Take(new_id(), "Take 1", root.id, MAIN)
        pictures = encode_chunk(start.segment, info)
        with owned(path) as lock:
            if path.exists():
                raise StorageError(f"{shown(path)} is there already: choose another name.")
            with atomic_file(path) as temporary, schema.speaking(path):
                build_file(temporary, info, Story((take,), take.id), root, pictures)
            project = cls._opened(path, lock)
        if project.start_encoded:
            project._live.remember(root.id, start)
        return project

    @classmethod
    def open(cls, path: Path) -> Project:
        """The project in `path`; a file of an older format is migrated after copying it to a neighbour ending in .bak.

        Raises InputError for anything that is not a whole project of a known format, and StorageError when it is open
        elsewhere or the disk refuses; the file is then what it was before.
        """
        schema.check_file(Path(path))
        path = Path(path).resolve()  # a lock beside a link to it would be another lock
        with owned(path) as lock:
            version = schema.check_file(path)
            if version != schema.FORMAT:
                schema.migrate(path, version, lambda db: load(path, db))
            return cls._opened(path, lock)

    @classmethod
    def _opened(cls, path: Path, lock: FileLock) -> Project:
        with schema.connection(path, "ro") as reader:
            loaded = load(path, reader)
        with schema.speaking(path):
            db = schema.connect(path, "rw")
            try:
                db.execute("PRAGMA journal_mode = WAL")
            except BaseException:
                db.close()
                raise
        return cls(path, lock, db, loaded)

    def close(self) -> None:
        """Let the file go; a second call does nothing. Histories of this project cannot be read any more."""
        with self._guard:
            db, self._db = self._db, None
            if db is None:
                return
            try:
                with schema.speaking(self.file):
                    db.close()
            finally:
                self._file_lock.release()

    def __enter__(self) -> Project:
        return self

    def __exit__(self, *_: object) -> None:
        self.close()

    def summarise(self) -> ProjectSummary:
        """This project for a list; like `summary`, for a file that is open."""
        with self._guard:
            tip = self.record(self._story.current.tip)
            updated = parse(self._value("SELECT value FROM project WHERE key = 'updated'", ()))
            chunks, info = tip.index + 1, self._info
            return ProjectSummary(info.id, info.name, updated, chunks, info.duration(chunks), tip.id)

    # Reading --------------------------------------------------------------------------------------------------------

    @property
    def info(self) -> ProjectInfo:
        """What the project is."""
        return self._info

    @property
    def story(self) -> Story:
        """The takes, as of the current revision."""
        return self._story

    @property
    def pending(self) -> Pending | None:
        """Work that was asked for and is not done."""
        return self._pending

    @property
    def undo_label(self) -> str | None:
        """What undo would take back; None when there is nothing."""
        return self._undo.undo_label

    @property
    def redo_label(self) -> str | None:
        """What redo would do again; None when there is nothing."""
        return self._undo.redo_label

    @property
    def start_encoded(self) -> bool:
        """Whether a backend has made the start chunk's latents; without them nothing can be generated."""
        return self._start_encoded

    def record(self, chunk_id: str) -> ChunkRecord:
        """How a chunk came to be. Raises InputError when there is no such chunk."""
        found = self._records.get(chunk_id)
        if found is None:
            raise InputError(f"There is no chunk {shorten(chunk_id)} in this project: reload the page.")
        return found

    def path(self, tip: str) -> list[ChunkRecord]:
        """The chunks from the start chunk to `tip`."""
        record = self.record(tip)
        found = [record]
        while record.parent is not None:
            record = self._records[record.parent]
            found.append(record)
        return found[::-1]

    def frame_png(self, chunk_id: str, k: int) -> bytes:
        """Frame `k` (0 … chunk_frames - 1) of a chunk as PNG bytes. Raises InputError when there is none."""
        self.record(chunk_id)
        if not 0 <= k < self._info.chunk_frames:
            raise InputError(f"A chunk has the frames 0 to {self._info.chunk_frames - 1}, not {shorten(k)}.")
        data = self._value("SELECT png FROM frame WHERE chunk = ? AND k = ?", (chunk_id, k))
        return check_png(data, self._info.width, self._info.height)

    def frames(self, chunk_id: str) -> np.ndarray:
        """The frames of a chunk, uint8 THWC RGB. Raises InputError when there is no such chunk or it is damaged."""
        pages = (self.frame_png(chunk_id, k) for k in range(self._info.chunk_frames))
        return np.stack([decode_frame(page, self._info.width, self._info.height) for page in pages])

    def latents(self, chunk_id: str) -> np.ndarray:
        """The latents of a chunk as its backend made them. Raises InputError when there are none or they are damaged."""
        self.record(chunk_id)
        return decode_latents(self._value("SELECT npy FROM latents WHERE chunk = ?", (chunk_id,)))

    def history(self, tip: str) -> History:
        """Text and chunks from the start chunk to `tip`; pictures are read when asked for.

        While anyone holds a node of a chunk, the same node comes back: backends key their caches on nodes.
        """
        with self._guard:
            return self._live.history(self.path(tip), self._info.prompt)

    def remember(self, chunk_id: str, history: History) -> None:
        """Take `history`, which ends with this chunk, as its node; `commit_chunk` and `create` do so themselves."""
        with self._guard:
            if not isinstance(history.segment, ChunkSegment) or history.segment.index != self.record(chunk_id).index:
                raise ValueError("the history does not end with this chunk")
            self._live.remember(chunk_id, history)

    def copy_to(self, path: Path, new_id: str | None = None) -> None:
        """Write a copy as of now to `path`, replacing what is there, while work goes on; `new_id` makes it a project of
        its own. Raises StorageError when the disk refuses or that file is open; it is then what it was before.
        """
        self._open_db()
        target = Path(path)

        with FileLock(target):
            schema.backup(self.file, target, None if new_id is None else lambda db: rename_id(db, new_id))

    # Changing -------------------------------------------------------------------------------------------------------

    def commit_chunk(
        self,
        history: History,
        take_id: str,
        asked: str | None,
        options: Mapping[str, Any],
        seconds: float,
        pending: Pending | None,
    ) -> ChunkRecord:
        """Store the chunk that `history` ends with as the next one of a take; with it the work that is left.

        `asked` is a person's line or intent for it, `options` has steps, guidance, temperature, top_p, stream and model_hash,
        `seconds` is the engine's time. The take grows in the current revision, so no step of undo comes with it.
        Raises InputError when the take was deleted or moved meanwhile, StorageError when the disk refuses.
        """
        chunk, before = history.segment, history.parent
        if not isinstance(chunk, ChunkSegment) or before is None:
            raise ValueError("the history must end with a chunk that was generated")
        text = before.segment if isinstance(before.segment, TextSegment) else None
        boundary = before.boundary
        wish = before.segment if text is None else before.parent.segment
        asked = row(wish.text) if isinstance(wish, IntentSegment) else asked
        pictures = encode_chunk(chunk, self._info)  # before the lock: the page reads frames meanwhile
        with self._guard:
            take = self._story.take(take_id)
            parent = self._live.chunk_of(boundary)
            if parent is None:
                raise ValueError("the history does not come from this project")
            if parent != take.tip or self._records[parent].index + 1 != chunk.index:
                raise InputError(f"{take.name} was changed while this chunk was made: generate again to go on from there.")
            record = ChunkRecord(
                id=new_id(), parent=parent, index=chunk.index, line=text.text if text else None,
                source=text.source if text else None, plan=history.plan, asked=asked, seed=chunk.seed,
                seconds=float(seconds), created=now(), **options,
            )  # fmt: skip
            with self._change() as db:
                insert_chunk(db, record, pictures)
                story = self._undo.grow(db, self._story, take_id, record)
                put(db, "pending", pending_to_json(pending))
            self._records[record.id] = record
            self._story, self._pending = story, pending
            self._live.remember(record.id, history)
            self._live.forget_pictures(history, self.record)
            return record

    def set_start(self, start: History) -> None:
        """Store the latents of the start chunk, once, when the project was made before a backend was loaded: `start` is
        what `backend.begin` gave for the project's prompt and start frames.
        """
        with self._guard:
            root = next(iter(self._records))
            if self._start_encoded or start.parent is not None or start.prompt != self._info.prompt:
                raise ValueError("the start chunk is encoded already, or this is no start of this project")
            if not np.array_equal(start.segment.frames, self.frames(root)):
                raise ValueError("the start frames are not those of this project")
            with self._change() as db:
                write_latents(db, root, start.segment.latents)
            self._start_encoded = True
            self._live.remember(root, start)

    def edit(self, story: Story, label: str) -> None:
        """Make `story` the current one as a new step of undo called `label`; what could be redone is dropped.

        Raises InputError when a take ends at a chunk that is not in this project.
        """
        with self._guard:
            check_tips(story, self._records)
            # Growth that comes after it belongs to the work that was going on already, not to this step.
            revision = Revision(label[:MAX_LABEL], self._pending is not None and story != self._story)
            with self._change() as db:
                undo = self._undo.edit(db, story, revision)
            self._undo, self._story = undo, story

    def amend(self, story: Story) -> None:
        """Make `story` the current one without a step of undo."""
        with self._guard:
            check_tips(story, self._records)
            with self._change() as db:
                self._undo.amend(db, story)
            self._story = story

    def peek(self, step: Literal[-1, 1]) -> Story | None:
        """The story that undo (-1) or redo (1) would give; None when there is none."""
        with self._guard, schema.speaking(self.file):
            return self._undo.peek(self._open_db(), step)

    def undo(self) -> Story | None:
        """Go one step back and return that story; None when there is none."""
        return self._move(-1)

    def redo(self) -> Story | None:
        """Go one step forward again and return that story; None when there is none."""
        return self._move(1)

    def drop_empty_edit(self) -> bool:
        """Take the newest step of undo away when nothing came of it; whether that was so."""
        with self._guard:
            with schema.speaking(self.file):
                if not self._undo.is_empty(self._open_db(), self._story):
                    return False
            with self._change() as db:
                undo = self._undo.drop(db)
            self._undo = undo
            return True

    def set_pending(self, pending: Pending | None) -> None:
        """Keep what is left to do."""
        with self._guard:
            with self._change() as db:
                put(db, "pending", pending_to_json(pending))
            self._pending = pending

    def rename(self, name: str) -> None:
        """Give the project another name of 1 to 120 printable characters; the file keeps its own."""
        self._describe(name=name)

    def set_settings(self, settings: Mapping[str, object]) -> None:
        """Change some generation settings. Raises InputError for an unknown name or a value out of range."""
        changed = {name: validate(name, value) for name, value in settings.items()}
        with self._guard:
            self._describe(settings=self._info.settings | changed)

    # Inside ---------------------------------------------------------------------------------------------------------

    def _describe(self, **changed: object) -> None:
        with self._guard:
            info = replace(self._info, **changed)
            with self._change() as db:
                put(db, "info", info_to_json(info))
            self._info = info

    def _move(self, step: int) -> Story | None:
        with self._guard:
            if not self._undo.can(step):
                return None
            with self._change() as db:
                undo, story = self._undo.move(db, step)
            self._undo, self._story = undo, story
            return story

    def _value(self, query: str, parameters: tuple[object, ...]) -> object:
        with self._guard, schema.speaking(self.file):
            row = self._open_db().execute(query, parameters).fetchone()
            return row[0] if row else None

    @contextlib.contextmanager
    def _change(self) -> Iterator[sqlite3.Connection]:
        """One transaction; the caller holds the guard and takes the change over into memory after it."""
        db = self._open_db()
        with schema.speaking(self.file), schema.transaction(db):
            yield db
            put(db, "updated", now())

    def _open_db(self) -> sqlite3.Connection:
        if self._db is None:
            raise StorageError(f"{shown(self.file.name)} was closed: open the project again.")
        return self._db
