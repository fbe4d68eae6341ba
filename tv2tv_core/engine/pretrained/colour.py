"""Colour held steady: each chunk's mean and spread are drawn towards those of the first chunk, within narrow bounds."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from tv2tv_core.engine.pretrained.past import moving_part
from tv2tv_core.timeline import ChunkSegment, History

STRENGTH = 0.5  # half of the drift is taken back: a scene that means to change its light still can
GAIN = 0.1  # contrast changes by at most this share
SHIFT = 8.0  # and brightness by at most this many of 255


@dataclass(frozen=True, eq=False)
class Look:
    """Mean and spread of the three colour channels, in 0…255."""

    mean: np.ndarray
    spread: np.ndarray


def first_look(history: History) -> History | None:
    """The node whose chunk sets the colours of a story: its start, or its first chunk after a start from text alone."""
    chunks = [node for node in history.nodes() if isinstance(node.segment, ChunkSegment)]
    return next((node for node in chunks[:2] if len(moving_part(node.segment.frames))), None)


def look_of(frames: np.ndarray) -> Look:
    """Mean and spread of each colour channel of frames, uint8 THWC; of every fourth pixel, which is plenty."""
    few = frames[:, ::4, ::4]
    return Look(few.mean((0, 1, 2)), few.std((0, 1, 2)))


def match_colour(frames: np.ndarray, wanted: Look) -> np.ndarray:
    """`frames` (uint8 THWC) with the mean and the spread of each colour channel nearer to those that are wanted."""
    own = look_of(frames)
    gain = 1 + np.clip(STRENGTH * (wanted.spread / np.maximum(own.spread, 1.0) - 1), -GAIN, GAIN)
    shift = np.clip(STRENGTH * (wanted.mean - own.mean), -SHIFT, SHIFT)
    moved = (frames - own.mean) * gain + own.mean + shift
    return moved.round().clip(0, 255).astype(np.uint8)
