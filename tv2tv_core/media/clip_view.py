"""A finished clip as exports see it: facts, plan lines and chunks whose frames are loaded one chunk at a time."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass, field
from fractions import Fraction

import numpy as np

from tv2tv_core.timeline import Source


@dataclass(frozen=True, eq=False)
class ClipChunk:
    """One generated chunk: its number from 0, the plan line in force, who wrote that line (None: nobody yet), and how to
    load its frames, uint8 THWC RGB. Nothing keeps what `frames` returned."""

    index: int
    plan: str
    source: Source | None
    frames: Callable[[], np.ndarray] = field(repr=False)


@dataclass(frozen=True, eq=False)
class ClipView:
    """One take from its first to its last generated chunk; the start chunk is not in it.

    `name` is for people (project and take), `width` and `height` are pixels before enlarging, `document` is what
    `clip_document.make_document` built: it goes into every file that can carry it.
    """

    name: str
    fps: Fraction
    width: int
    height: int
    chunk_frames: int
    chunks: Sequence[ClipChunk]
    document: dict[str, object] = field(repr=False)

    @property
    def frames(self) -> int:
        """How many frames the clip has."""
        return len(self.chunks) * self.chunk_frames

    @property
    def seconds(self) -> Fraction:
        """How long the clip is."""
        return self.frames / self.fps


@dataclass(frozen=True)
class Beat:
    """Consecutive chunks under one plan line: frames `start` up to but not including `end`."""

    start: int
    end: int
    plan: str
    source: Source | None


def beats(view: ClipView) -> list[Beat]:
    """The clip as beats in order; together they cover every frame once. A line written again goes on with its beat."""
    found: list[Beat] = []
    for number, chunk in enumerate(view.chunks):
        end = (number + 1) * view.chunk_frames
        if found and found[-1].plan == chunk.plan:
            found[-1] = Beat(found[-1].start, end, chunk.plan, found[-1].source)
        else:
            found.append(Beat(end - view.chunk_frames, end, chunk.plan, chunk.source))
    return found


class FrameReader:
    """Frames of a clip by number, for readers that go forward: one chunk is in memory at a time."""

    def __init__(self, view: ClipView) -> None:
        self._view = view
        self._number = -1
        self._frames: np.ndarray | None = None

    def __len__(self) -> int:
        return self._view.frames

    def __getitem__(self, number: int) -> np.ndarray:
        """Frame `number` as uint8 HWC. Raises ValueError when a chunk is not as the view says."""
        view = self._view
        chunk, offset = divmod(number, view.chunk_frames)
        if chunk != self._number or self._frames is None:
            self._frames = None  # before the next one is loaded
            self._frames, self._number = self._load(chunk), chunk
        return self._frames[offset]

    def __iter__(self) -> Iterator[np.ndarray]:
        return (self[number] for number in range(len(self)))

    def _load(self, chunk: int) -> np.ndarray:
        view = self._view
        frames = view.chunks[chunk].frames()
        if frames.shape != (view.chunk_frames, view.height, view.width, 3) or frames.dtype != np.uint8:
            raise ValueError(f"chunk {chunk} is {frames.dtype} {frames.shape}, not as the clip says")
        return frames
