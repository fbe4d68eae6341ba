"""Steadying enlarged frames: each is averaged with its neighbours along the motion that the small frames show.

Detail that a network draws anew for every frame flickers; detail that is there moves with the picture. Averaging along the
motion keeps the second and thins out the first. Every small pixel stays the mean of the pixels that replace it.
"""

from __future__ import annotations

from dataclasses import dataclass

import cv2
import numpy as np

from tv2tv_core.model.interpolator import flow_between

ROUNDS = 3  # each reaches one frame further
NEIGHBOUR = 1.5  # weight of a neighbour that shows the same, beside 1 for the frame itself
UNLIKE = 30.0  # grey levels: where the moved small neighbour differs by this much, its weight is down to a third


@dataclass(frozen=True, eq=False)
class _Link:
    """Where the pixels of a large frame lie in its neighbour (columns, rows: [H, W]) and what those count ([H, W, 1])."""

    columns: np.ndarray
    rows: np.ndarray
    weight: np.ndarray


def steadied(large: np.ndarray, small: np.ndarray) -> np.ndarray:
    """Consecutive frames float32 [T, s·H, s·W, 3] (grey levels), drawn from `small` uint8 [T, H, W, 3]: the same, steadier."""
    count, scale = len(small), large.shape[2] // small.shape[2]
    links = {(t, u): _link(small[t], small[u], scale) for t in range(count) for u in (t - 1, t + 1) if 0 <= u < count}
    if not links:
        return large
    for _ in range(ROUNDS):
        large = np.stack([_averaged(large, t, links, small[t]) for t in range(count)])
    return large


def _averaged(large: np.ndarray, t: int, links: dict[tuple[int, int], _Link], small: np.ndarray) -> np.ndarray:
    """Frame `t` of `large` averaged with those beside it, its block means those of `small` [H, W, 3]."""
    total, weights = large[t].copy(), np.ones((*large.shape[1:3], 1), np.float32)
    for u in (t - 1, t + 1):
        if (link := links.get((t, u))) is not None:
            total += link.weight * _sampled(large[u], link.columns, link.rows)
            weights += link.weight
    made = total / weights
    missing = small.astype(np.float32) - cv2.resize(made, small.shape[1::-1], interpolation=cv2.INTER_AREA)
    return made + cv2.resize(missing, made.shape[1::-1], interpolation=cv2.INTER_NEAREST)


def _link(here: np.ndarray, there: np.ndarray, scale: int) -> _Link:
    flow = flow_between(here, there).transpose(1, 2, 0)
    rows, columns = np.indices(here.shape[:2], dtype=np.float32)
    moved = _sampled(there.astype(np.float32), columns + flow[..., 0], rows + flow[..., 1])
    error = cv2.blur(np.abs(moved - here).mean(axis=2), (3, 3))
    size = (scale * here.shape[1], scale * here.shape[0])
    flow = scale * cv2.resize(flow, size, interpolation=cv2.INTER_LINEAR)
    weight = NEIGHBOUR * cv2.resize(np.exp(-np.square(error / UNLIKE)), size, interpolation=cv2.INTER_LINEAR)
    rows, columns = np.indices(size[::-1], dtype=np.float32)
    return _Link(columns + flow[..., 0], rows + flow[..., 1], weight[..., None].astype(np.float32))


def _sampled(frame: np.ndarray, columns: np.ndarray, rows: np.ndarray) -> np.ndarray:
    # Bicubic: a linear sample of every neighbour in every round would blur.
    return cv2.remap(frame, columns, rows, cv2.INTER_CUBIC, borderMode=cv2.BORDER_REPLICATE)
