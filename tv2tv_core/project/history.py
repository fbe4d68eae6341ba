"""Histories over a project file: chunks that read their pictures when asked, and one node per chunk while it lives."""

from __future__ import annotations

import weakref
from collections.abc import Sequence
from typing import Any, Protocol

import numpy as np

from tv2tv_core.intent import text_of
from tv2tv_core.project.records import ChunkRecord
from tv2tv_core.timeline import ChunkSegment, History, IntentSegment, TextSegment

KEPT = 64
"""Chunks behind a living end whose pictures stay in memory; older ones are read from the file again when asked."""


class Pictures(Protocol):
    """Where frames and latents are read from: an open project."""

    def frames(self, chunk_id: str) -> np.ndarray:
        """uint8 THWC of a chunk."""
        ...

    def latents(self, chunk_id: str) -> np.ndarray:
        """The latents of a chunk."""
        ...


class StoredChunk(ChunkSegment):
    """A chunk whose frames and latents are read from the project file each time they are asked for."""

    def __init__(self, pictures: Pictures, record: ChunkRecord) -> None:
        # The fields of a frozen value; `frames` and `latents` below stand in for the other two.
        object.__setattr__(self, "index", record.index)
        object.__setattr__(self, "seed", record.seed)
        object.__setattr__(self, "_pictures", pictures)
        object.__setattr__(self, "_id", record.id)

    @property
    def frames(self) -> np.ndarray:  # type: ignore[override]
        """uint8 THWC, read from the file."""
        return self._pictures.frames(self._id)

    @property
    def latents(self) -> Any:  # type: ignore[override]
        """The backend's latents, read from the file."""
        return self._pictures.latents(self._id)


class LiveNodes:
    """Which history node stands for which chunk, for as long as anyone holds it: backends key their caches on nodes.

    Not thread-safe by itself.
    """

    def __init__(self, pictures: Pictures) -> None:
        self._pictures = pictures
        self._nodes: weakref.WeakValueDictionary[str, History] = weakref.WeakValueDictionary()
        self._ids: weakref.WeakKeyDictionary[History, str] = weakref.WeakKeyDictionary()

    def remember(self, chunk_id: str, node: History) -> None:
        """`node` ends with this chunk. The first node of a chunk stays its node as long as it lives."""
        if self._nodes.setdefault(chunk_id, node) is node:
            self._ids[node] = chunk_id

    def chunk_of(self, node: History) -> str | None:
        """The id of the chunk that `node` ends with; None when it is not a node of this project."""
        return self._ids.get(node)

    def history(self, path: Sequence[ChunkRecord], prompt: str) -> History:
        """The history along `path` (start chunk first), from the last node that is alive on."""
        node: History | None = None
        missing: list[ChunkRecord] = []
        for record in reversed(path):
            node = self._nodes.get(record.id)
            if node is not None:
                break
            missing.append(record)
        for record in reversed(missing):
            chunk = StoredChunk(self._pictures, record)
            if node is None:
                node = History(chunk, prompt=prompt)
            else:
                wanted = text_of(record.asked)
                node = node if wanted is None else node.then(IntentSegment(wanted))
                node = node if record.line is None else node.then(TextSegment(record.line, record.source))
                node = node.then(chunk)
            self.remember(record.id, node)
        assert node is not None, "a path has at least the start chunk"
        return node

    def forget_pictures(self, end: History, record_of: Any) -> None:
        """Let go of the pictures of the chunk `KEPT` chunks before `end`: its node stays and reads them from the file.

        Without this, an hour of driving would hold every frame of it in memory.
        """
        node: History | None = end
        seen = 0
        while node is not None and seen < KEPT:
            seen += isinstance(node.segment, ChunkSegment)
            node = node.parent
        while node is not None and not isinstance(node.segment, ChunkSegment):
            node = node.parent
        chunk_id = self._ids.get(node) if node is not None else None
        if chunk_id is not None and not isinstance(node.segment, StoredChunk):
            # The value stays the same; only where its pictures are read from changes.
            object.__setattr__(node, "segment", StoredChunk(self._pictures, record_of(chunk_id)))
