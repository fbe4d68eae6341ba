"""The steps of undo in a project file: which stories there were and which one is current; a value, like the story."""

from __future__ import annotations

import sqlite3
from dataclasses import dataclass

from tv2tv_core.project.records import ChunkRecord, dump, parse, put
from tv2tv_core.story import Story

UNDO_STEPS = 200
MAX_LABEL = 200


@dataclass(frozen=True)
class Revision:
    """One step: what it did, and whether it was made beside a running generation."""

    label: str
    beside: bool = False


@dataclass(frozen=True)
class Undo:
    """The revisions kept, by consecutive number, and the number of the current one.

    Its methods write into an open transaction and return what is true once that is committed.
    """

    current: int
    revisions: dict[int, Revision]

    @property
    def undo_label(self) -> str | None:
        """What a step back would take back; None when there is none."""
        return self.revisions[self.current].label if self.can(-1) else None

    @property
    def redo_label(self) -> str | None:
        """What a step forward would do again; None when there is none."""
        return self.revisions[self.current + 1].label if self.can(1) else None

    def can(self, step: int) -> bool:
        """Whether one can go a step back (-1) or forward (1)."""
        return self.current + step in self.revisions

    def edit(self, db: sqlite3.Connection, story: Story, revision: Revision) -> Undo:
        """A new step after the current one; later ones and those out of reach are dropped."""
        n = self.current + 1
        db.execute("DELETE FROM revision WHERE n >= ? OR n < ?", (n, n - UNDO_STEPS))
        insert_revision(db, n, revision, story)
        put(db, "current", n)
        kept = {m: old for m, old in self.revisions.items() if n - UNDO_STEPS <= m < n}
        return Undo(n, kept | {n: revision})

    def amend(self, db: sqlite3.Connection, story: Story) -> None:
        """Put another story into the current step."""
        _amend(db, self.current, story)

    def peek(self, db: sqlite3.Connection, step: int) -> Story | None:
        """The story a step back or forward; None when there is none."""
        return _story(db, self.current + step) if self.can(step) else None

    def move(self, db: sqlite3.Connection, step: int) -> tuple[Undo, Story]:
        """A step back or forward, and the story there."""
        n = self.current + step
        put(db, "current", n)
        return Undo(n, self.revisions), _story(db, n)

    def is_empty(self, db: sqlite3.Connection, story: Story) -> bool:
        """Whether the current step is the newest and its story equals the one before."""
        return not self.can(1) and self.can(-1) and _story(db, self.current - 1) == story

    def drop(self, db: sqlite3.Connection) -> Undo:
        """Without the current step, which is the newest."""
        n = self.current
        db.execute("DELETE FROM revision WHERE n = ?", (n,))
        put(db, "current", n - 1)
        return Undo(n - 1, {m: old for m, old in self.revisions.items() if m != n})

    def grow(self, db: sqlite3.Connection, story: Story, take_id: str, record: ChunkRecord) -> Story:
        """The story with a take grown by a chunk, in the current step.

        The take grows as well in neighbouring steps that were made beside the work: to rename a take while it grows, and
        to undo that, must not take its new chunks away.
        """
        grown = story.grow(take_id, record.id, record.index)
        self.amend(db, grown)
        for step in (-1, 1):
            n = self.current
            while n + step in self.revisions and self.revisions[max(n, n + step)].beside:
                n += step
                neighbour = _story(db, n)
                take = neighbour.find(take_id)
                if take is None or take.tip != record.parent:
                    break
                _amend(db, n, neighbour.grow(take_id, record.id, record.index))
        return grown


def insert_revision(db: sqlite3.Connection, n: int, revision: Revision, story: Story) -> None:
    """Add a step of undo."""
    row = (n, revision.label, int(revision.beside), dump(story.to_json()))
    db.execute("INSERT INTO revision (n, label, beside, story) VALUES (?, ?, ?, ?)", row)


def _amend(db: sqlite3.Connection, n: int, story: Story) -> None:
    db.execute("UPDATE revision SET story = ? WHERE n = ?", (dump(story.to_json()), n))


def _story(db: sqlite3.Connection, n: int) -> Story:
    found = db.execute("SELECT story FROM revision WHERE n = ?", (n,)).fetchone()
    return Story.from_json(parse(found[0] if found else None))
