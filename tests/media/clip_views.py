"""Clips for the export tests: flat frames whose grey is their number, and a count of the chunks that are in memory."""

from __future__ import annotations

import weakref
from collections.abc import Sequence
from fractions import Fraction

import numpy as np

from tv2tv_core.media.clip_view import ClipChunk, ClipView

FPS = Fraction(35, 2)
DOCUMENT: dict[str, object] = {"format": "tv2tv-clip", "version": 1, "prompt": "a base", "preset": "fake", "seed": 5}
HOSTILE = (
    "<b>bold</b> & <script>alert(1)</script>",
    "{\\an8}{\\b1} \\N \\h",
    "00:00:01,000 --> 00:00:02,000",
    "NOTE nothing\n\n2\n\x00\x1b[31m",
    "&lt;i&gt; &amp; ${x} {{y}}",
    "漢字 😀 שלום العربية é\u2028next",
    "1",
    "x" * 200,
)


class Memory:
    """How many chunks are alive now and were at most."""

    def __init__(self) -> None:
        self.alive = self.most = self.loads = 0

    def hand_out(self, frames: np.ndarray) -> np.ndarray:
        """The same frames, counted until nobody holds them."""
        self.alive += 1
        self.loads += 1
        self.most = max(self.most, self.alive)
        weakref.finalize(frames, self._gone)
        return frames

    def _gone(self) -> None:
        self.alive -= 1


def grey(number: int) -> int:
    """The brightness of frame `number`."""
    return 20 + number * 5 % 200


def clip_view(
    plans: Sequence[str], *, name: str = "A clip", size: tuple[int, int] = (40, 24), memory: Memory | None = None
) -> ClipView:
    """A clip with one chunk for each plan line in force; the model wrote those with an even index."""
    width, height = size
    counted = memory or Memory()

    def frames(index: int) -> np.ndarray:
        flat = np.zeros((4, height, width, 3), np.uint8)
        flat += np.array([grey(4 * index + k) for k in range(4)], np.uint8).reshape(4, 1, 1, 1)
        return counted.hand_out(flat)

    chunks = [
        ClipChunk(index, plan, ("model", "person")[index % 2] if plan else None, lambda index=index: frames(index))
        for index, plan in enumerate(plans)
    ]
    return ClipView(name, FPS, width, height, 4, chunks, dict(DOCUMENT))
