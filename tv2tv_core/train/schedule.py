"""The learning rate as a pure function of the step, and the cooldown that a time box decides once and records."""

from __future__ import annotations

import math
from dataclasses import dataclass
from typing import Literal

Shape = Literal["cosine", "constant"]


@dataclass(frozen=True)
class Cooldown:
    """The steps [start, stop) over which the rate falls linearly to the floor; the run ends at `stop`."""

    start: int
    stop: int


def planned_cooldown(steps: int, fraction: float) -> Cooldown | None:
    """The cooldown of a run of known length: its last `fraction` of the steps (None for 0)."""
    if not steps or fraction <= 0:
        return None
    return Cooldown(start=round(steps * (1 - fraction)), stop=steps)


def timed_cooldown(step: int, elapsed_s: float, minutes: float, fraction: float) -> Cooldown | None:
    """The cooldown of a time box, once `elapsed_s` has reached its last `fraction`; None before.

    Its length in steps follows from the speed so far. The caller stores it, so that from here on the rate depends on
    the step alone and a resumed run repeats it.
    """
    if fraction <= 0 or elapsed_s < minutes * 60 * (1 - fraction):
        return None
    left = max(1, round(step * (minutes * 60 - elapsed_s) / max(elapsed_s, 1e-6)))
    return Cooldown(start=step, stop=step + left)


def rate(step: int, shape: Shape, steps: int, warmup: int, floor: float, cooldown: Cooldown | None) -> float:
    """The factor in (0, 1] on the base learning rate at `step` (from 0).

    Linear warm-up over `warmup` steps; then a cosine to `floor` over `steps`, or 1 until the cooldown falls to `floor`.
    """
    factor = min(1.0, (step + 1) / max(warmup, 1))
    if shape == "cosine":
        progress = min(1.0, max(0, step - warmup) / max(1, steps - warmup))
        return factor * (floor + (1 - floor) * 0.5 * (1 + math.cos(math.pi * progress)))
    if cooldown is not None and step >= cooldown.start:
        progress = min(1.0, (step - cooldown.start + 1) / max(1, cooldown.stop - cooldown.start))
        factor *= 1 - (1 - floor) * progress
    return factor
