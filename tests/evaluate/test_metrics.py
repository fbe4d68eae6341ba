"""PSNR, SSIM and sharpness against their definitions and on pictures whose order is known."""

import cv2
import numpy as np
import pytest

from tests.evaluate.pictures import pan, wide_picture
from tv2tv_core.evaluate.metrics import PSNR_OF_EQUAL, lpips, lpips_to_first, psnr, sharpness, ssim

ALL = (psnr, ssim, lpips, sharpness)


@pytest.fixture
def frames() -> np.ndarray:
    return pan(wide_picture(), 1, 20)[0]


def noisy(frames: np.ndarray, scale: float) -> np.ndarray:
    noise = np.random.default_rng(0).normal(0, scale, frames.shape)
    return np.clip(frames + noise, 0, 255).astype(np.uint8)


def soft(frames: np.ndarray, sigma: float) -> np.ndarray:
    return np.stack([cv2.GaussianBlur(frame, (0, 0), sigma) for frame in frames])


def test_equal_frames_get_the_best_score(frames: np.ndarray) -> None:
    assert psnr(frames, frames).tolist() == [PSNR_OF_EQUAL] * 4
    assert ssim(frames, frames) == pytest.approx(np.ones(4))
    assert lpips(frames, frames).tolist() == [0] * 4
    assert sharpness(frames, frames).tolist() == [1] * 4


def test_psnr_is_its_definition() -> None:
    black, grey = np.zeros((1, 16, 16, 3), np.uint8), np.full((1, 16, 16, 3), 5, np.uint8)
    assert psnr(grey, black)[0] == pytest.approx(20 * np.log10(255 / 5))


def test_ssim_of_two_flat_frames_is_the_brightness_term_alone() -> None:
    dark, light = np.full((1, 16, 16, 3), 50, np.uint8), np.full((1, 16, 16, 3), 100, np.uint8)
    c1 = (0.01 * 255) ** 2
    assert ssim(dark, light)[0] == pytest.approx((2 * 50 * 100 + c1) / (50**2 + 100**2 + c1))


def test_ssim_of_a_negative_is_below_that_of_noise(frames: np.ndarray) -> None:
    assert (ssim(255 - frames, frames) < ssim(noisy(frames, 60), frames)).all()
    assert (ssim(255 - frames, frames) < 0).all()


@pytest.mark.parametrize("worse", [noisy, soft])
def test_every_measure_falls_with_more_damage(frames: np.ndarray, worse) -> None:
    little, much = worse(frames, 2), worse(frames, 8)
    assert (psnr(little, frames) > psnr(much, frames)).all()
    assert (ssim(little, frames) > ssim(much, frames)).all()
    assert (lpips(little, frames) < lpips(much, frames)).all()


def test_sharpness_tells_blur_from_noise(frames: np.ndarray) -> None:
    assert (sharpness(soft(frames, 2), frames) < 0.7).all()
    assert (sharpness(noisy(frames, 30), frames) > 1.2).all()


@pytest.mark.parametrize("measure", ALL)
def test_leading_axes_are_kept_and_frames_are_measured_alone(frames: np.ndarray, measure) -> None:
    damaged = noisy(frames, 20)
    values = measure(damaged.reshape(2, 2, 96, 160, 3), frames.reshape(2, 2, 96, 160, 3))
    assert values.shape == (2, 2)
    alone = [float(measure(a, b)) for a, b in zip(damaged, frames, strict=True)]
    assert values.ravel() == pytest.approx(alone, rel=1e-4)


@pytest.mark.parametrize("measure", ALL)
def test_what_cannot_be_compared_is_refused(frames: np.ndarray, measure) -> None:
    for bad in (frames[:, :50], frames.astype(np.float32)):
        with pytest.raises(ValueError, match="equal shape"):
            measure(bad, frames)
    with pytest.raises(ValueError, match="H, W, 3"):
        measure(frames[..., 0], frames[..., 0])


def test_distances_to_the_first_frames_are_those_of_pairs(frames: np.ndarray) -> None:
    rows = np.concatenate([frames, soft(frames, 1), noisy(frames, 10), frames[:1]])
    found = lpips_to_first(rows, 4)
    assert found.shape == (13, 4)
    for column in range(4):
        pairs = lpips(rows, np.broadcast_to(frames[column], rows.shape))
        assert found[:, column] == pytest.approx(pairs, abs=2e-5)
    assert found[12, 0] < 1e-6 < found[12, 1]
