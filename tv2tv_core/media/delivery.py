"""From draft to delivery: stages over a stream of frames: speed, smooth (more frames a second), sharpen (more pixels).

Frames come and go one at a time as uint8 [H, W, 3] RGB; a few are in memory, however long the clip. The networks live in
`tv2tv_core.model` and are loaded when the first frame is asked for; this module only composes.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass
from fractions import Fraction
from functools import cache
from itertools import islice, pairwise
from math import ceil
from pathlib import Path
from typing import Protocol

import cv2
import numpy as np

from tv2tv_core.errors import InputError
from tv2tv_core.settings import shorten

WEIGHTS = Path(__file__).resolve().parents[2] / "assets" / "delivery.safetensors"
FACTORS = SCALES = (1, 2, 4)
SPEEDS = (0.25, 0.5, 1, 2, 4)
MAX_FACTOR = 16
PAIRS = 4  # pairs of frames that go through the network together; fewer where more than 3 frames lie between
BLOCK, CONTEXT = 6, 1  # frames sharpened together, and neighbours on either side that are only looked at
CUT_ERROR = 25.0
"""Grey levels: when the best motion between two frames still leaves a larger mean error, they show different scenes."""
_CUT_SIZE = (80, 48)


class Net(Protocol):
    """The networks as the stages use them; see `tv2tv_core.model.delivery_net.DeliveryNet`."""

    def between(self, pairs: Sequence[tuple[np.ndarray, np.ndarray]], factor: int, fps: float) -> np.ndarray:
        """`factor` - 1 frames between each pair: uint8 [n, factor - 1, H, W, 3]."""

    def after(self, first: np.ndarray, second: np.ndarray, count: int, fps: float) -> np.ndarray:
        """The next `count` frames after two known ones: uint8 [count, H, W, 3]."""

    def enlarged(self, frames: np.ndarray, scale: int) -> np.ndarray:
        """Consecutive frames uint8 [T, H, W, 3] at `scale` times the size."""


@dataclass(frozen=True)
class Delivery:
    """What is done to a clip: `fps_factor` 1, 2 or 4 times the frame rate, `sharpen` 1, 2 or 4 times the size, `speed`.

    Speed s (1/4 to 4) at rate factor f: the pictures made lie s / f frames of the clip apart and are shown f times as fast
    as its frames. So n frames give floor((n - 1) · f / s) + 1 pictures, which begin with the first frame. A picture that
    falls on a frame is that frame; only those between two frames are drawn, and frames between two pictures are left out.
    Raises InputError for other values.
    """

    fps_factor: int = 1
    sharpen: int = 1
    speed: float = 1

    def __post_init__(self) -> None:
        if type(self.speed) not in (int, float) or self.speed not in SPEEDS:
            raise InputError(f"speed is {shorten(self.speed)}; allowed are {', '.join(map(str, SPEEDS))}.")
        for name, allowed in (("fps_factor", FACTORS), ("sharpen", SCALES)):
            value = getattr(self, name)
            if type(value) is not int or value not in allowed:
                raise InputError(f"{name} is {shorten(value)}; allowed are {', '.join(map(str, allowed))}.")

    @property
    def plain(self) -> bool:
        """Whether frames leave as they came, as fast as they came."""
        return self.fps_factor == self.sharpen == self.speed == 1

    @property
    def step(self) -> Fraction:
        """How many frames of the clip one picture lies after the one before: 1/16 to 4."""
        return Fraction(self.speed) / self.fps_factor

    @property
    def draws(self) -> bool:
        """Whether a network has anything to do."""
        return self.step < 1 or self.sharpen > 1

    def count(self, frames: int) -> int:
        """How many frames leave when `frames` come: floor((n - 1) · factor / speed) + 1."""
        return int((frames - 1) / self.step) + 1 if frames else 0

    def place(self, frame: int) -> int:
        """The first picture that shows frame `frame` of the clip or what comes after it."""
        return ceil(frame / self.step)

    def record(self, frames: int, fps: Fraction, size: tuple[int, int]) -> dict[str, object]:
        """What the document of a file says: the request, and frames, frame rate and size (W, H) that came of it."""
        told: dict[str, object] = {"fps_factor": self.fps_factor, "sharpen": self.sharpen, "frames": self.count(frames),
                                   "fps": float(fps * self.fps_factor), "size": [side * self.sharpen for side in size]}
        return told if self.speed == 1 else told | {"speed": float(self.speed)}


def deliver(frames: Iterable[np.ndarray], delivery: Delivery, fps: Fraction, net: Net | None = None) -> Iterator[np.ndarray]:
    """The frames of a clip of `fps` frames a second after every stage that `delivery` asks for."""
    if delivery.step > 1:
        frames = islice(frames, 0, None, int(delivery.step))
    elif delivery.step < 1:
        frames = smooth(frames, int(1 / delivery.step), fps, net)
    if delivery.sharpen > 1:
        frames = sharpen(frames, delivery.sharpen, net)
    return iter(frames)


def smooth(
    frames: Iterable[np.ndarray], factor: int, fps: Fraction = Fraction(35, 2), net: Net | None = None
) -> Iterator[np.ndarray]:
    """n frames at `fps` → (n - 1) · factor + 1 frames at fps · factor; the given ones stay as they are.

    Across a cut nothing is mixed: the frame before it is held, then the frame after it. Raises InputError for a factor
    that is not a whole number from 1 to 16, WeightsError when the networks cannot be loaded.
    """
    if type(factor) is not int or not 1 <= factor <= MAX_FACTOR:
        raise InputError(f"The factor is {shorten(factor)}; allowed is a whole number from 1 to {MAX_FACTOR}.")
    return _smoothed(frames, factor, float(fps), net)


def sharpen(
    frames: Iterable[np.ndarray], scale: int, net: Net | None = None, before: np.ndarray | None = None
) -> Iterator[np.ndarray]:
    """The frames at 2 or 4 times the size. Frames on one side of a cut never touch those on the other.

    before: a frame that came before them, only looked at. Raises InputError for another scale, WeightsError when the
    networks cannot be loaded.
    """
    if scale not in SCALES or type(scale) is not int:
        raise InputError(f"The scale is {shorten(scale)}; allowed are {', '.join(map(str, SCALES))}.")
    return _sharpened(frames, scale, net, before) if scale > 1 else iter(frames)


def is_cut(before: np.ndarray, after: np.ndarray) -> bool:
    """Whether two frames show different scenes: no motion explains one by the other. Fast turns are no cuts."""
    small = [cv2.resize(frame, _CUT_SIZE, interpolation=cv2.INTER_AREA) for frame in (before, after)]
    if np.abs(small[0].astype(np.int16) - small[1]).mean() < CUT_ERROR / 2:
        return False
    return min(_unexplained(*small), _unexplained(*small[::-1])) > CUT_ERROR


def _unexplained(target: np.ndarray, source: np.ndarray) -> float:
    """Mean error in grey levels that is left when `source` is moved to look like `target`, where it stays in view."""
    grey = [cv2.cvtColor(frame, cv2.COLOR_RGB2GRAY) for frame in (target, source)]
    flow = cv2.DISOpticalFlow.create(cv2.DISOPTICAL_FLOW_PRESET_MEDIUM).calc(*grey, None)
    rows, columns = np.indices(grey[0].shape, dtype=np.float32)
    x, y = columns + flow[..., 0], rows + flow[..., 1]
    moved = cv2.remap(grey[1], x, y, cv2.INTER_LINEAR, borderMode=cv2.BORDER_REPLICATE)
    inside = (x >= 0) & (x <= x.shape[1] - 1) & (y >= 0) & (y <= y.shape[0] - 1)
    return float(np.abs(moved.astype(np.int16) - grey[0])[inside].mean()) if inside.any() else 255.0


def _smoothed(frames: Iterable[np.ndarray], factor: int, fps: float, net: Net | None) -> Iterator[np.ndarray]:
    waiting: list[np.ndarray] = []
    together = max(1, PAIRS * min(4, factor) // factor)
    for frame in frames:
        # A copy: a frame may be a view that keeps its whole chunk in memory.
        waiting.append(np.array(frame))
        if len(waiting) > together:
            yield from _filled(waiting, factor, fps, net)
            waiting = waiting[-1:]
    yield from _filled(waiting, factor, fps, net)
    yield from waiting[-1:]


def _filled(frames: list[np.ndarray], factor: int, fps: float, net: Net | None) -> Iterator[np.ndarray]:
    """The frames with those between them, without the last one."""
    pairs = list(pairwise(frames))
    moving = [pair for pair in pairs if factor > 1 and not is_cut(*pair)]
    made = iter((net or shipped()).between(moving, factor, fps) if moving else ())
    moving_ids = {id(pair) for pair in moving}
    for pair in pairs:
        yield pair[0]
        if id(pair) in moving_ids:
            yield from next(made)
        else:
            yield from (pair[2 * k > factor] for k in range(1, factor))


def _sharpened(
    frames: Iterable[np.ndarray], scale: int, net: Net | None, before: np.ndarray | None
) -> Iterator[np.ndarray]:
    past: list[np.ndarray] = [] if before is None else [before]
    waiting: list[np.ndarray] = []
    for frame in frames:
        frame = np.array(frame)
        if past and not waiting and is_cut(past[-1], frame):
            past = []
        if waiting and is_cut(waiting[-1], frame):
            yield from _enlarged(past, waiting, [], scale, net)
            past, waiting = [], []
        waiting.append(frame)
        if len(waiting) == BLOCK + CONTEXT:
            yield from _enlarged(past, waiting[:BLOCK], waiting[BLOCK:], scale, net)
            past, waiting = waiting[BLOCK - CONTEXT : BLOCK], waiting[BLOCK:]
    if waiting:
        yield from _enlarged(past, waiting, [], scale, net)


def _enlarged(
    past: list[np.ndarray], now: list[np.ndarray], ahead: list[np.ndarray], scale: int, net: Net | None
) -> Iterator[np.ndarray]:
    made = (net or shipped()).enlarged(np.stack(past + now + ahead), scale)
    yield from made[len(past) : len(past) + len(now)]


@cache
def shipped() -> Net:
    """The networks that ship, checked against their hash and loaded once. Raises WeightsError."""
    from tv2tv_core.model.delivery_net import load_net
    from tv2tv_core.presets import read_sums

    return load_net(WEIGHTS, read_sums(WEIGHTS.parent).get(WEIGHTS.name))
