"""How far made clips are from real ones as a crowd: the Fréchet distance of AlexNet features of 16-frame windows.

This is not the Fréchet video distance of the literature, whose I3D network is not part of this project; its values can be
compared with one another, never with published ones. Per frame, the features of the LPIPS network (AlexNet, five layers,
each place scaled to length one) are averaged over the picture: 1152 numbers. A window's vector has their mean (what is
seen) and the mean size of their change from frame to frame (how it moves), each through one fixed random projection to
32 numbers, in units of the spread in real play.
"""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
import torch

from tv2tv_core.evaluate.lpips import Lpips
from tv2tv_core.evaluate.metrics import as_unit, network

WINDOW = 4  # chunks
HALF = 32  # numbers of what is seen, and as many of how it moves
_BATCH = 32
_DIGITS = 6
Vectors = Sequence[Sequence[float]]


def window_features(clip: np.ndarray) -> list[list[float]]:
    """One vector of 2 * HALF numbers per whole window of a clip, uint8 [n, 4, H, W, 3]."""
    return [_vector(clip[first : first + WINDOW]) for first in range(0, len(clip) - WINDOW + 1, WINDOW)]


def frechet(made: Vectors, real: Vectors, reference: Vectors) -> float | None:
    """Fréchet distance of two sets of window vectors as Gaussians, in units of the spread of `reference`.

    |m1 - m2|² + Tr(C1 + C2 - 2 (C1 C2)^½). It is too large for few windows, so compare sets of equal size. None below two
    windows in any set.
    """
    if min(len(made), len(real), len(reference)) < 2:
        return None
    unit = np.std(np.asarray(reference), axis=0) + 1e-9
    (mean_a, cov_a), (mean_b, cov_b) = (_gaussian(np.asarray(each) / unit) for each in (made, real))
    root = _root(cov_a)
    cross = np.sqrt(np.clip(np.linalg.eigvalsh(root @ cov_b @ root), 0, None)).sum()
    return float(max(0.0, np.square(mean_a - mean_b).sum() + np.trace(cov_a) + np.trace(cov_b) - 2 * cross))


def _gaussian(rows: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    return rows.mean(axis=0), np.cov(rows, rowvar=False)


def _root(matrix: np.ndarray) -> np.ndarray:
    values, vectors = np.linalg.eigh(matrix)
    return (vectors * np.sqrt(np.clip(values, 0, None))) @ vectors.T


def _vector(window: np.ndarray) -> list[float]:
    seen = _pooled(window.reshape(-1, *window.shape[-3:]), network())
    moved = np.abs(np.diff(seen, axis=0)).mean(axis=0)
    rng = np.random.default_rng(0)
    parts = []
    for part in (seen.mean(axis=0), moved):
        parts.append(part @ rng.standard_normal((len(part), HALF)) / np.sqrt(HALF))
    return np.concatenate(parts).round(_DIGITS).tolist()


def _pooled(frames: np.ndarray, lpips: Lpips) -> np.ndarray:
    """float64 [n, 1152] of uint8 frames [n, H, W, 3]."""
    found = []
    with torch.inference_mode():
        for first in range(0, len(frames), _BATCH):
            layers = lpips.features(as_unit(frames[first : first + _BATCH], lpips.shift.device))
            means = [(layer / (layer.norm(dim=1, keepdim=True) + 1e-8)).mean((2, 3)) for layer in layers]
            found.append(torch.cat(means, 1).cpu().numpy().astype(np.float64))
    return np.concatenate(found)
