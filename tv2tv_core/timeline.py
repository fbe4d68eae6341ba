"""The story as a value: intents, plan lines and chunks in the order in which they grew, as an immutable linked history."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass, field
from typing import Any, Literal

import numpy as np

Source = Literal["model", "person"]


@dataclass(frozen=True, eq=False)
class TextSegment:
    """One plan line and who wrote it."""

    text: str
    source: Source


@dataclass(frozen=True, eq=False)
class IntentSegment:
    """What a person wants to happen over the next seconds: context for thinking, never a plan."""

    text: str


@dataclass(frozen=True, eq=False)
class ChunkSegment:
    """One chunk of frames.

    `index` counts generated chunks from 0; the start chunk has index -1. `frames` is uint8 THWC; `latents` belongs to
    the backend that made it and is carried, never recomputed from pixels. `seed` made its noise (None for the start).
    """

    index: int
    frames: np.ndarray = field(repr=False)
    latents: Any = field(repr=False)
    seed: int | None = None


Segment = TextSegment | IntentSegment | ChunkSegment


@dataclass(frozen=True, eq=False)
class History:
    """A path through the tree of takes: one segment and everything before it.

    Appending makes a new node that shares its past, so rewinding is walking to a parent and a fork costs nothing. Nodes
    compare by identity: a backend may key its cache on them.
    """

    segment: Segment
    parent: History | None = field(default=None, repr=False)  # a repr must not recurse through a whole story
    prompt: str = ""

    def then(self, segment: Segment) -> History:
        """The history one segment longer."""
        return History(segment, self, self.prompt)

    def nodes(self) -> list[History]:
        """Every node from the root to this one."""
        found: list[History] = []
        node: History | None = self
        while node is not None:
            found.append(node)
            node = node.parent
        return found[::-1]

    def __iter__(self) -> Iterator[Segment]:
        return (node.segment for node in self.nodes())

    @property
    def chunks(self) -> list[ChunkSegment]:
        """The chunks on this path, the start chunk first."""
        return [segment for segment in self if isinstance(segment, ChunkSegment)]

    @property
    def plan(self) -> str:
        """The plan line in force: the last one written, or the empty string before the first."""
        node: History | None = self
        while node is not None:
            if isinstance(node.segment, TextSegment):
                return node.segment.text
            node = node.parent
        return ""

    @property
    def boundary(self) -> History:
        """The node of the last chunk on this path: what stands behind it is the text before the next one."""
        node = self
        while not isinstance(node.segment, ChunkSegment):
            node = node.parent
        return node

    def rewind(self, index: int) -> History:
        """The history at the boundary right before chunk `index`: its last segment is the chunk before it.

        Raises ValueError when this path has no chunk `index - 1`.
        """
        node: History | None = self
        while node is not None:
            if isinstance(node.segment, ChunkSegment) and node.segment.index == index - 1:
                return node
            node = node.parent
        raise ValueError(f"no boundary before chunk {index} on this path of {len(self.chunks) - 1} generated chunks")
