"""What happens while a clip grows: the events that the one generation loop yields."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Literal

import numpy as np

from tv2tv_core.timeline import ChunkSegment, History, Source


@dataclass(frozen=True)
class TextToken:
    """A piece of the next plan line; `forced` when a person wrote it, otherwise the model sampled it."""

    index: int
    text: str
    forced: bool


@dataclass(frozen=True)
class PlanDone:
    """The plan line of chunk `index` stands. Not sent when the model lets the plan in force go on."""

    index: int
    line: str
    source: Source


@dataclass(frozen=True)
class ChunkStarted:
    """BOF: from here the model acts. `plan` is the line in force, `start_s` the chunk's start time in seconds."""

    index: int
    plan: str
    start_s: float
    seed: int


@dataclass(frozen=True)
class DenoisingStep:
    """One Euler step is done (1 … steps); `preview` is uint8 THWC at base resolution, or None when not asked for."""

    index: int
    step: int
    steps: int
    preview: np.ndarray | None


@dataclass(frozen=True, eq=False)
class ChunkDone:
    """The chunk is final; `history` ends with it, `seconds` is what plan and frames took."""

    index: int
    chunk: ChunkSegment
    history: History
    seconds: float


@dataclass(frozen=True, eq=False)
class Finished:
    """The loop ended: all chunks made, the model ended the clip (EOS), paused at a boundary, or cancelled."""

    reason: Literal["length", "ended", "paused", "cancelled"]
    history: History


@dataclass(frozen=True, eq=False)
class Failed:
    """A backend failed in mid-chunk; `history` ends at the last good boundary. The error is raised right after."""

    error: Exception
    history: History


Event = TextToken | PlanDone | ChunkStarted | DenoisingStep | ChunkDone | Finished | Failed
