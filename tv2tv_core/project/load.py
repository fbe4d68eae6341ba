"""Reading everything but the pictures of a project file, and believing none of it before it is checked."""

from __future__ import annotations

import contextlib
import re
import sqlite3
from collections.abc import Iterator
from dataclasses import dataclass, fields
from pathlib import Path
from typing import Any

from tv2tv_core.errors import InputError
from tv2tv_core.media.atomic import shown
from tv2tv_core.project import schema
from tv2tv_core.project.pictures import check_png, decode_latents
from tv2tv_core.project.records import (
    MAX_COUNT,
    ChunkRecord,
    Pending,
    ProjectInfo,
    ProjectSummary,
    info_from_json,
    parse,
    pending_from_json,
)
from tv2tv_core.project.undo import MAX_LABEL, Revision, Undo
from tv2tv_core.settings import shorten
from tv2tv_core.story import Story

COLUMNS = ", ".join(f'"{field.name}"' for field in fields(ChunkRecord))


@dataclass(frozen=True)
class Loaded:
    """A project without its pictures. `start_encoded`: whether a backend has made the start chunk's latents."""

    info: ProjectInfo
    pending: Pending | None
    story: Story
    undo: Undo
    records: dict[str, ChunkRecord]
    start_encoded: bool


def load(path: Path, db: sqlite3.Connection) -> Loaded:
    """Everything that an open project keeps in memory. Raises InputError in words when anything does not fit together."""
    with schema.speaking(path):
        schema.check_tables(path, db)
        with _about(path):
            values = _values(db)
            info, pending = info_from_json(values["info"]), pending_from_json(values["pending"])
            if pending is not None and pending.target is not None:
                check_png(pending.target, info.width, info.height)
            records = _records(db)
            _check_pictures(db, records, info.chunk_frames)
            revisions, stories = _revisions(db, records)
            if values["current"] not in revisions:
                raise InputError("The current step of undo is missing.")
            found = db.execute("SELECT npy FROM latents WHERE chunk = ?", (next(iter(records)),)).fetchone()
            encoded = decode_latents(found[0]).size > 0
    current = values["current"]
    return Loaded(info, pending, stories[current], Undo(current, revisions), records, encoded)


def summary(path: Path) -> ProjectSummary:
    """What a list of projects shows of one, in a few small reads; the project may be open elsewhere.

    Raises InputError or StorageError when the file is no project or cannot be read.
    """
    path = Path(path)
    version = schema.check_file(path)
    if version != schema.FORMAT:
        raise InputError(f"{shown(path.name)} has the older format {version}: open it once to bring it up to date.")
    with schema.connection(path, "ro") as db, _about(path):
        values = _values(db)
        info = info_from_json(values["info"])
        found = db.execute("SELECT story FROM revision WHERE n = ?", (values["current"],)).fetchone()
        tip = Story.from_json(parse(found[0] if found else None)).current.tip
        row = db.execute(f"SELECT {COLUMNS} FROM chunk WHERE id = ?", (tip,)).fetchone()
        if row is None:
            raise InputError("The last chunk is missing.")
        chunks = ChunkRecord(*row).index + 1
    return ProjectSummary(info.id, info.name, values["updated"], chunks, info.duration(chunks), tip)


def peek_frame(path: Path, chunk_id: str, k: int) -> bytes:
    """Frame `k` of a chunk as PNG bytes, without opening the project.

    Raises InputError when it is not there or damaged, StorageError when the file cannot be read.
    """
    path = Path(path)
    with schema.connection(path, "ro") as db:
        info = info_from_json(_values(db)["info"])
        row = db.execute("SELECT png FROM frame WHERE chunk = ? AND k = ?", (chunk_id, k)).fetchone()
    if row is None:
        raise InputError(f"{shown(path.name)} has no such frame: reload the page.")
    return check_png(row[0], info.width, info.height)


@contextlib.contextmanager
def _about(path: Path) -> Iterator[None]:
    """What is wrong with a value inside becomes what is wrong with this file."""
    try:
        yield
    except InputError as error:
        reason = re.split(r"[.:] |\.$", str(error))[0]
        raise schema.damaged(path, reason[:1].lower() + reason[1:]) from error


def _values(db: sqlite3.Connection) -> dict[str, Any]:
    values = {key: parse(text) for key, text in db.execute("SELECT key, value FROM project LIMIT 100")}
    if set(values) != {"info", "pending", "current", "updated"}:
        raise InputError("The project's description is incomplete.")
    current, updated = values["current"], values["updated"]
    # Not True, which would count as 1, and nothing that SQLite cannot take as a number.
    if type(current) is not int or not 0 <= current < MAX_COUNT or not isinstance(updated, str) or len(updated) > 100:
        raise InputError("The project's description is none.")
    return values


def _records(db: sqlite3.Connection) -> dict[str, ChunkRecord]:
    """All chunks by id, checked to be one tree: an index is one more than its parent's, which rules out circles."""
    records: dict[str, ChunkRecord] = {}
    for row in db.execute(f'SELECT {COLUMNS} FROM chunk ORDER BY "index"'):
        record = ChunkRecord(*row)
        parent = records.get(record.parent) if record.parent is not None else None
        if (record.index == -1 and records) or (record.index >= 0 and (parent is None or parent.index != record.index - 1)):
            raise InputError(f"Chunk {shorten(record.id)} does not follow a chunk before it.")
        if parent is not None and record.plan != (record.line if record.line is not None else parent.plan):
            raise InputError(f"Chunk {shorten(record.id)} has a plan that nobody wrote.")
        records[record.id] = record
    if not records:
        raise InputError("The start chunk is missing.")
    return records


def _check_pictures(db: sqlite3.Connection, records: dict[str, ChunkRecord], frames: int) -> None:
    """That every chunk has its frames and latents; read from the indexes, no picture is touched."""
    query = "SELECT chunk, count(*), min(k), max(k) FROM frame GROUP BY chunk"
    complete = {chunk for chunk, count, low, high in db.execute(query) if (count, low, high) == (frames, 0, frames - 1)}
    with_latents = {chunk for (chunk,) in db.execute("SELECT chunk FROM latents ORDER BY chunk")}
    if not (complete & with_latents).issuperset(records):
        raise InputError("Pictures of some chunks are missing.")


def _revisions(db: sqlite3.Connection, records: dict[str, ChunkRecord]) -> tuple[dict[int, Revision], dict[int, Story]]:
    revisions: dict[int, Revision] = {}
    stories: dict[int, Story] = {}
    for n, label, beside, text in db.execute("SELECT n, label, beside, story FROM revision ORDER BY n"):
        if not isinstance(label, str) or len(label) > MAX_LABEL or (stories and n - 1 not in stories):
            raise InputError("The steps of undo are broken.")
        story = Story.from_json(parse(text))
        check_tips(story, records)
        revisions[n], stories[n] = Revision(label, beside == 1), story
    return revisions, stories


def check_tips(story: Story, records: dict[str, ChunkRecord]) -> None:
    """Raise InputError unless every take of a story ends at a known chunk."""
    for take in story.takes:
        if take.tip not in records:
            raise InputError(f"Take {shorten(take.name)} ends at a chunk that is not in this project.")
