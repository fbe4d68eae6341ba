"""How much an evaluation measures, and what every suite of it shares."""

from __future__ import annotations

import hashlib
from dataclasses import dataclass
from typing import Any

from tv2tv_core.data.shards import Episode
from tv2tv_core.evaluate.interventions import Player
from tv2tv_core.evaluate.moments import TrueFutures
from tv2tv_core.settings import GenerationSettings

HELD_OUT, HELD_OUT_MAP = "heldout", "heldout_map"
SPLITS = (HELD_OUT, HELD_OUT_MAP)
SHOWN = 2  # items of each kind of which pictures are kept, whatever the extent


@dataclass(frozen=True)
class Extent:
    """Numbers of things measured on the held-out episodes; the held-out map gets a share of them (`of`).

    windows: predictions, `far_windows` of them to the last horizon. moments: where actions are inserted at 0 s; at 1 s and
    3 s in the first `late_moments`; at 0 s in held-out words too in the first `worded_moments`; the held-out map has
    `map_moments` for all of these. rollouts of `rollout_chunks`,
    long_rollouts of `long_chunks`. reference_windows: windows of real play per episode for the Fréchet distance.
    stretches of `stretch_chunks` boundaries at which the model is asked for the next line.
    """

    windows: int
    far_windows: int
    codec_chunks: int
    moments: int
    late_moments: int
    worded_moments: int
    map_moments: int
    rollouts: int
    long_rollouts: int
    reference_windows: int
    stretches: int
    stretch_chunks: int = 16
    horizons: tuple[int, ...] = (1, 4, 16)
    rollout_chunks: int = 35  # 8 s
    long_chunks: int = 280  # 64 s
    seed: int = 0

    @staticmethod
    def full(count: int) -> Extent:
        """`count` windows of prediction per split and everything else in proportion; with 64 about an hour on two cores."""
        return Extent(
            windows=count,
            far_windows=count,
            codec_chunks=2 * count,
            moments=max(1, 3 * count // 4),
            late_moments=max(1, 3 * count // 8),
            worded_moments=max(1, 3 * count // 4),
            map_moments=max(1, count // 4),
            rollouts=max(1, count // 2),
            long_rollouts=max(1, count // 8),
            reference_windows=32,
            stretches=max(1, count // 2),
        )

    @staticmethod
    def quick() -> Extent:
        """A first look: at most five minutes on two cores. Its items are a part of the full evaluation's."""
        return Extent(
            windows=12,
            far_windows=4,
            codec_chunks=24,
            moments=5,
            late_moments=2,
            worded_moments=2,
            map_moments=0,
            rollouts=3,
            long_rollouts=0,
            reference_windows=6,
            stretches=4,
            stretch_chunks=8,
        )

    def of(self, split: str, count: int) -> int:
        """How many of `count` things are measured on `split`: all, or on the held-out map a third (at least one, if any)."""
        return count if split == HELD_OUT else (count + 2) // 3


@dataclass(frozen=True, eq=False)
class Work:
    """What every suite needs: the backend with its settings, the recordings, true futures, and how much."""

    backend: Any
    settings: GenerationSettings
    splits: dict[str, list[Episode]]
    futures: TrueFutures
    extent: Extent

    def player(self, *name: str) -> Player:
        """The backend with the noise that belongs to `name`: the same for every model, whatever else is measured."""
        digest = hashlib.sha256("/".join((str(self.extent.seed), *name)).encode()).digest()
        return Player(self.backend, self.settings, int.from_bytes(digest[:4], "big"))

    @property
    def codec(self) -> Any:
        """The backend's codec for given frames; None when it draws without one."""
        return getattr(self.backend, "given_codec", None)
