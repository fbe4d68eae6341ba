"""Steadying: what flickers is thinned out, what moves along stays sharp, and nothing is changed as seen from afar."""

from __future__ import annotations

import cv2
import numpy as np
import pytest

from tv2tv_core.model.steady import steadied


def scene(count: int = 4, step: int = 4, scale: int = 4) -> tuple[np.ndarray, np.ndarray]:
    """A picture that slides `step` large pixels a frame: (large float32 [T, 192, 256, 3], small uint8 [T, 48, 64, 3])."""
    rough = np.random.default_rng(0).integers(0, 255, (24, 48, 3), dtype=np.uint8)
    wide = cv2.resize(rough, (384, 192), interpolation=cv2.INTER_CUBIC).astype(np.float32)
    large = np.stack([wide[:, step * k : step * k + 256] for k in range(count)])
    small = np.stack([cv2.resize(frame, (256 // scale, 192 // scale), interpolation=cv2.INTER_AREA) for frame in large])
    return large, small.round().astype(np.uint8)


def test_noise_is_thinned_out_where_the_picture_moves() -> None:
    large, small = scene()
    noisy = large + np.random.default_rng(1).normal(0, 20, large.shape).astype(np.float32)
    inside = np.s_[:, 16:-16, 24:-24]
    before, after = (np.abs(frames - large)[inside].mean() for frames in (noisy, steadied(noisy, small)))
    assert after < 0.6 * before


def test_what_moves_along_stays_sharp() -> None:
    large, small = scene()
    inside = np.s_[:, 16:-16, 24:-24]
    assert np.abs(steadied(large, small) - large)[inside].mean() < 3


@pytest.mark.parametrize("scale", [2, 4])
def test_every_small_pixel_is_still_the_mean_of_its_block(scale: int) -> None:
    large, small = scene(3, scale=scale)
    made = steadied(large + 9, small)
    back = made.reshape(3, 192 // scale, scale, 256 // scale, scale, 3).mean(axis=(2, 4))
    assert np.abs(back - small).max() < 1e-2


def test_frames_that_show_something_else_are_left_out() -> None:
    large, small = scene(2)
    large[1], small[1] = 255 - large[1], 255 - small[1]
    alone = steadied(large[:1], small[:1])
    assert np.array_equal(alone, large[:1])
    assert np.abs(steadied(large, small)[0] - large[0]).mean() < 3
