"""From one frame towards another: of several lines that the model itself suggests, the one whose chunk ends nearest is kept.

A search, not an interpolation: chunk by chunk, without looking further ahead. Where the model's own futures do not lead
to the target, it comes no nearer; `distance` says how near.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import replace

import cv2
import numpy as np

from tv2tv_core.engine.control import Control
from tv2tv_core.engine.events import ChunkDone, DenoisingStep, Event, Failed, Finished
from tv2tv_core.engine.generate import GenerateRequest, generate, suggest
from tv2tv_core.errors import Cancelled, InputError

TRIES = 6
BLOCK = 4


def distance(frame: np.ndarray, target: np.ndarray) -> float:
    """How far two frames (uint8 HWC of one size) are apart: root mean square in grey levels, 0 to 255.

    Over blocks of 4x4 pixels, so that a near miss counts as near.
    """
    if frame.shape != target.shape:
        (height, width), (own_height, own_width) = target.shape[:2], frame.shape[:2]
        raise InputError(f"The target has {width} x {height} pixels, not {own_width} x {own_height}.")
    size = max(1, frame.shape[1] // BLOCK), max(1, frame.shape[0] // BLOCK)
    small = [cv2.resize(one, size, interpolation=cv2.INTER_AREA).astype(np.float64) for one in (frame, target)]
    return float(np.sqrt(np.mean((small[0] - small[1]) ** 2)))


def nearest(
    request: GenerateRequest, target: np.ndarray, control: Control | None = None, tries: int = TRIES
) -> Iterator[Event]:
    """The one chunk of `request` (its plan is not used) that ends nearest to `target`, as the events of `generate`.

    At most `tries` lines are tried with the same noise; the first of the nearest ones wins, and only its events are told,
    when all have been tried. A pause waits for that, so that it changes nothing; a cancel is obeyed at once. Ends as
    `generate` does. Raises what the backend raises.
    """
    control = control or Control()
    if control.pausing:
        yield Finished("paused", request.history)
        return
    kept = _Kept(control)
    best: tuple[float, list[Event]] | None = None
    try:
        for line in _lines(request, tries, kept):
            told = list(generate(replace(request, chunks=1, plan=(line,), author="model", previews=False), kept))
            kept.check()
            made = next((event for event in told if isinstance(event, ChunkDone)), None)
            if made is None:
                continue
            far = distance(made.chunk.frames[-1], target)
            if best is None or far < best[0]:
                best = far, told
    except Cancelled:
        yield Finished("cancelled", request.history)
        return
    except Exception as error:
        yield Failed(error, request.history)
        raise
    if best is None:
        yield Finished("ended", request.history)
        return
    yield from (event for event in best[1] if not isinstance(event, DenoisingStep))


class _Kept(Control):
    """A control that passes a cancel on and no pause."""

    def __init__(self, outer: Control) -> None:
        super().__init__()
        self.check = outer.check  # type: ignore[method-assign]


def _lines(request: GenerateRequest, tries: int, control: Control) -> list[str]:
    """What to try: lines of the model's own, the plan in force among them when there is one."""
    found = suggest(request.backend, request.history, tries, seed=request.seed, take=request.take, control=control)
    now = request.history.plan
    return found if not now or now in found else [now, *found[: tries - 1]]
