"""The protocol between the generation loop and whatever thinks and acts: the loop knows no model, only this."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from dataclasses import dataclass
from fractions import Fraction
from typing import Protocol

import numpy as np

from tv2tv_core.timeline import ChunkSegment, History


@dataclass(frozen=True)
class BackendSpec:
    """What a backend is, as data: nothing above it asks for its class.

    `context` is how many past chunks it looks back on; `model_hash` names its weights (sha256, hex); `takes_intents`:
    whether `think` reads the intents of a history.
    """

    name: str
    chunk_frames: int
    fps: Fraction
    width: int
    height: int
    context: int
    model_hash: str
    takes_intents: bool = False


@dataclass(frozen=True)
class ThinkOptions:
    """How plan text is sampled: temperature ≥ 0 (0 = greedy), top_p in (0, 1], seed of this line's sampling."""

    temperature: float
    top_p: float
    seed: int


@dataclass(frozen=True)
class ActOptions:
    """How a chunk is denoised: Euler steps ≥ 1, guidance ≥ 0 (1 = none), noise seed, previews on or off."""

    steps: int
    guidance: float
    seed: int
    previews: bool = False


@dataclass(frozen=True)
class Thought:
    """What thinking came to: a new plan line, None when the plan in force goes on, or the end of the clip."""

    line: str | None
    ended: bool = False


class Backend(Protocol):
    """Thinks in words, then acts in pixels. Pure in its history: caches are its own business and never change a result.
    `think` may run in one thread while another acts.

    Both generators call `check()` between tokens and between denoising steps; it raises `Cancelled` when asked to stop.
    """

    spec: BackendSpec

    def begin(self, prompt: str, frames: np.ndarray) -> History:
        """Encode the start frame(s), uint8 [T, H, W, 3] of any size, and return the history that starts a clip."""
        ...

    def think(self, history: History, options: ThinkOptions, check: Callable[[], None]) -> Iterator[str | Thought]:
        """Yield pieces of the next plan line as text, then one final `Thought`. The first BOF ends the line."""
        ...

    def act(
        self, history: History, index: int, options: ActOptions, check: Callable[[], None]
    ) -> Iterator[np.ndarray | ChunkSegment | None]:
        """Denoise chunk `index` under the plan in force: yields once per step (a preview or None), then the chunk."""
        ...
