"""What is written into a project file, row by row; when and in which transaction is for the project to say."""

from __future__ import annotations

import contextlib
import os
import sqlite3
from dataclasses import astuple, dataclass, replace
from pathlib import Path
from typing import Any

import numpy as np

from tv2tv_core.errors import InputError
from tv2tv_core.media.atomic import storage_error
from tv2tv_core.project import schema
from tv2tv_core.project.load import COLUMNS
from tv2tv_core.project.lock import FileLock
from tv2tv_core.project.pictures import encode_frames, encode_latents
from tv2tv_core.project.records import ChunkRecord, ProjectInfo, dump, info_from_json, info_to_json, now, parse, put
from tv2tv_core.project.undo import Revision, insert_revision
from tv2tv_core.story import Story
from tv2tv_core.timeline import ChunkSegment

_INSERT = f"INSERT INTO chunk ({COLUMNS}) VALUES ({', '.join('?' * (COLUMNS.count(',') + 1))})"


@dataclass(frozen=True)
class Pictures:
    """Frames and latents of one chunk, ready to be stored."""

    pages: list[bytes]
    latents: bytes


def encode_chunk(chunk: ChunkSegment, info: ProjectInfo) -> Pictures:
    """The pictures of a chunk as bytes. Raises ValueError when they do not fit the project."""
    shape = (info.chunk_frames, info.height, info.width, 3)
    if chunk.frames.shape != shape or chunk.frames.dtype != np.uint8:
        raise ValueError(f"chunk {chunk.index} is {chunk.frames.dtype} {chunk.frames.shape}, the project's are uint8 {shape}")
    return Pictures(encode_frames(chunk.frames), encode_latents(chunk.latents))


def build_file(path: Path, info: ProjectInfo, story: Story, root: ChunkRecord, pictures: Pictures) -> None:
    """Make a whole project file at `path`, which must not exist; nothing stays beside it."""
    try:
        with contextlib.closing(schema.connect(path, "rwc")) as db:
            schema.build(db)
            with schema.transaction(db):
                insert_chunk(db, root, pictures)
                insert_revision(db, 0, Revision("New project"), story)
                values = {"info": info_to_json(info), "pending": None, "current": 0, "updated": now()}
                rows = [(key, dump(value)) for key, value in values.items()]
                db.executemany("INSERT INTO project (key, value) VALUES (?, ?)", rows)
    finally:
        schema.remove_companions(path)


def insert_chunk(db: sqlite3.Connection, record: ChunkRecord, pictures: Pictures) -> None:
    """Add a chunk with its frames and latents."""
    db.execute(_INSERT, astuple(record))
    pages = [(record.id, k, page) for k, page in enumerate(pictures.pages)]
    db.executemany("INSERT INTO frame (chunk, k, png) VALUES (?, ?, ?)", pages)
    db.execute("INSERT INTO latents (chunk, npy) VALUES (?, ?)", (record.id, pictures.latents))


def write_latents(db: sqlite3.Connection, chunk_id: str, latents: Any) -> None:
    """Replace the latents of a chunk."""
    db.execute("UPDATE latents SET npy = ? WHERE chunk = ?", (encode_latents(latents), chunk_id))


def rename_id(db: sqlite3.Connection, project_id: str) -> None:
    """Make the file a project of its own: the same under another id."""
    found = db.execute("SELECT value FROM project WHERE key = 'info'").fetchone()
    put(db, "info", info_to_json(replace(info_from_json(parse(found[0])), id=project_id)))


def move_file(source: Path, target: Path) -> None:
    """Give a project file that is not open another name, with everything a killed process left beside it.

    Raises StorageError when it is open or the disk refuses.
    """
    with FileLock(source), FileLock(target):
        # A log of changes belongs into the file before it moves; a damaged file may move as it is.
        with contextlib.suppress(InputError), schema.connection(source, "rw") as db:
            db.execute("PRAGMA wal_checkpoint(TRUNCATE)")
        try:
            os.replace(source, target)
        except OSError as error:
            raise storage_error(source, error) from error
        schema.remove_companions(source)
