"""Project files for tests: made with the fake backend, grown by the real loop, and read back whole for comparison."""

from __future__ import annotations

import sqlite3
from collections.abc import Sequence
from contextlib import closing
from fractions import Fraction
from pathlib import Path

import numpy as np

from tests.fakes import FakeBackend
from tv2tv_core.engine.events import ChunkDone, Event
from tv2tv_core.engine.generate import GenerateRequest, generate
from tv2tv_core.project.file import ChunkRecord, Pending, Project, ProjectInfo
from tv2tv_core.story import new_id

START = np.random.default_rng(5).integers(0, 256, (1, 24, 40, 3), dtype=np.uint8)
OPTIONS = {"steps": 2, "guidance": 1.0, "temperature": 0.8, "top_p": 0.9, "stream": "main", "model_hash": "0" * 64}


def info(name: str = "A walk", prompt: str = "a dark hall") -> ProjectInfo:
    """What a project for the fake backend is."""
    size = {"fps": Fraction(35, 2), "chunk_frames": 4, "width": 40, "height": 24}
    words = {"preset": "fake", "backend": "fake", "model_hash": "0" * 64, "created": "2026-01-01T00:00:00+00:00"}
    return ProjectInfo(id=new_id(), name=name, prompt=prompt, start="hall", settings={"seed": 7, "steps": 2}, **size, **words)


def make(path: Path, backend: FakeBackend | None = None) -> Project:
    """A new project with nothing but its start chunk."""
    given = info()
    return Project.create(path, given, (backend or FakeBackend()).begin(given.prompt, START))


def request(project: Project, chunks: int, take_id: str | None = None, plan: Sequence[str | None] = ()) -> GenerateRequest:
    """More chunks at the end of a take, as a studio would ask for them."""
    take = project.story.take(take_id or project.story.active)
    history = project.history(take.tip)
    return GenerateRequest(FakeBackend(), history, chunks, plan, seed=7, take=take.stream, steps=2)


def commit(project: Project, event: Event, take_id: str, pending: Pending | None = None) -> ChunkRecord | None:
    """Store what an event brings."""
    if not isinstance(event, ChunkDone):
        return None
    stream = project.story.take(take_id).stream
    return project.commit_chunk(event.history, take_id, None, OPTIONS | {"stream": stream}, event.seconds, pending)


def grow(project: Project, chunks: int, take_id: str | None = None, plan: Sequence[str | None] = ()) -> list[ChunkRecord]:
    """Generate and store chunks; returns their records."""
    take_id = take_id or project.story.active
    found = (commit(project, event, take_id) for event in generate(request(project, chunks, take_id, plan)))
    return [record for record in found if record is not None]


def contents(project: Project) -> dict[str, object]:
    """Everything that a project tells of itself, pictures included."""
    tips = {take.tip for take in project.story.takes}
    path = [record for tip in sorted(tips) for record in project.path(tip)]
    pictures = {
        record.id: ([project.frame_png(record.id, k) for k in range(4)], project.latents(record.id).tobytes())
        for record in path
    }
    labels = (project.undo_label, project.redo_label)
    return {"info": project.info, "story": project.story, "path": path, "pending": project.pending, "labels": labels,
            "pictures": pictures}  # fmt: skip


def alter(path: Path, *statements: str) -> None:
    """Change a closed project file behind its back."""
    with closing(sqlite3.connect(path, isolation_level=None)) as db:
        for statement in statements:
            db.execute(statement)
        db.execute("PRAGMA wal_checkpoint(TRUNCATE)")
