"""What a renderer sees of a story: its last frames, without the filling that a short start chunk brings along."""

from __future__ import annotations

import numpy as np

from tv2tv_core.timeline import ChunkSegment, History


def past_frames(history: History, most: int) -> np.ndarray:
    """The last frames on this path, uint8 [0…most, H, W, 3].

    A start chunk counts only as far as it moves: one still picture is one frame however often it is repeated, and a
    start of one flat colour is none at all, which is how a story starts from text alone.
    """
    found: list[np.ndarray] = []
    left = most
    node: History | None = history
    while node is not None and left > 0:
        if isinstance(node.segment, ChunkSegment):
            frames = node.segment.frames if node.parent is not None else moving_part(node.segment.frames)
            found.append(frames[-left:])
            left -= len(found[-1])
        node = node.parent
    return np.concatenate(found[::-1])


def moving_part(frames: np.ndarray) -> np.ndarray:
    """A start chunk's frames up to the last one that differs from the one before; none when all are one flat colour."""
    last = len(frames)
    while last > 1 and np.array_equal(frames[last - 1], frames[last - 2]):
        last -= 1
    flat = last == 1 and (frames[0] == frames[0, :1, :1]).all()
    return frames[:0] if flat else frames[:last]


def whole_groups(frames: np.ndarray, group: int) -> np.ndarray:
    """The last 1 + k * `group` frames, as many as there are: what a causal video codec takes. None stay none."""
    return frames[len(frames) - ((len(frames) - 1) // group * group + 1) :] if len(frames) else frames
