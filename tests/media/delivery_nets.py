"""A stand-in for the delivery networks with their real contract: between = even blends, larger = repeated pixels."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np


class PlainNet:
    """Blends and repeats; remembers how many frames it was given at once."""

    def __init__(self) -> None:
        self.pairs: list[int] = []
        self.blocks: list[list[int]] = []

    def between(self, pairs: Sequence[tuple[np.ndarray, np.ndarray]], factor: int, fps: float) -> np.ndarray:
        """`factor` - 1 blends between each pair."""
        self.pairs.append(len(pairs))
        places = [k / factor for k in range(1, factor)]
        made = [[np.rint((1 - s) * a + s * b.astype(float)) for s in places] for a, b in pairs]
        return np.array(made).astype(np.uint8)

    def after(self, first: np.ndarray, second: np.ndarray, count: int, fps: float) -> np.ndarray:
        """The second frame, held."""
        return np.repeat(second[None], count, axis=0)

    def enlarged(self, frames: np.ndarray, scale: int) -> np.ndarray:
        """Every pixel `scale` x `scale` times."""
        self.blocks.append(frames.mean(axis=(1, 2, 3)).astype(int).tolist())
        return frames.repeat(scale, axis=1).repeat(scale, axis=2)
