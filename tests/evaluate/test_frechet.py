"""The Fréchet distance of window features: none for the same crowd, larger for a stranger one."""

from __future__ import annotations

import cv2
import numpy as np
import pytest

from tests.evaluate.recordings import Panning
from tv2tv_core.evaluate.frechet import HALF, WINDOW, frechet, window_features


def crowd(seed: int, n: int = 400, shift: float = 0.0, spread: float = 1.0) -> np.ndarray:
    return np.random.default_rng(seed).standard_normal((n, 6)) * spread + shift


def test_it_has_the_values_of_known_gaussians() -> None:
    real, unit = crowd(0, 20000), crowd(1, 20000)
    assert frechet(real, real, unit) == pytest.approx(0, abs=1e-6)
    assert frechet(crowd(2, 20000), real, unit) < 0.01
    assert frechet(real + 2, real, unit) == pytest.approx(6 * 4, rel=0.03)
    assert frechet(crowd(2, 20000, spread=3), real, unit) == pytest.approx(6 * (3 - 1) ** 2, rel=0.03)


def test_few_windows_give_no_distance() -> None:
    assert frechet(crowd(0, 1), crowd(1), crowd(1)) is None and frechet([], crowd(1), crowd(1)) is None


def test_made_windows_are_farther_the_more_they_are_spoilt() -> None:
    clips = [Panning.make(chunks=2 * WINDOW + 1, speed=1, seed=seed).frames for seed in range(4)]

    def vectors(blur: float) -> list[list[float]]:
        found = []
        for clip in clips:
            spoilt = clip if not blur else np.stack(
                [cv2.GaussianBlur(frame, (0, 0), blur) for frame in clip.reshape(-1, 96, 160, 3)]
            ).reshape(clip.shape)
            found += window_features(spoilt)
        return found

    real = vectors(0)
    assert len(real) == 8 and all(len(vector) == 2 * HALF for vector in real)
    distances = [frechet(vectors(blur), real, real) for blur in (0, 1, 3)]
    assert distances == sorted(distances) and distances[0] == pytest.approx(0, abs=1e-3) and distances[1] > 1


def test_movement_is_seen_where_pictures_are_alike() -> None:
    still = Panning.make(chunks=WINDOW, speed=0).frames
    moving = Panning.make(chunks=WINDOW, speed=3).frames
    seen, moved = (np.array([window_features(clip)[0] for clip in (still, moving)])[:, part] for part in
                   (slice(HALF), slice(HALF, None)))  # fmt: skip
    assert np.abs(moved[0]).max() == 0 < np.abs(moved[1]).max() and np.abs(seen[0]).max() > 0
