"""How frames look over time: a planted dimming is measured, real play has none."""

from __future__ import annotations

from fractions import Fraction

import cv2
import numpy as np
import pytest

from tests.evaluate.recordings import Panning
from tv2tv_core.evaluate.appearance import FLOOR, MEASURES, against, against_level, by_second, change, flow_lengths

FPS = Fraction(35, 2)


def seconds(clip: np.ndarray) -> dict[str, list[float]]:
    return by_second(clip, FPS)


@pytest.fixture(scope="module")
def real() -> np.ndarray:
    return Panning.make(chunks=35, speed=1).frames


def dimmed(clip: np.ndarray, share: float) -> np.ndarray:
    """Every second is darker than the one before, down to `share`."""
    frames = clip.reshape(-1, *clip.shape[-3:]).astype(np.float64)
    levels = 1 - (1 - share) * np.floor(np.arange(len(frames)) / float(FPS)) / 7
    return (frames * levels[:, None, None, None]).round().astype(np.uint8).reshape(clip.shape)


def test_real_play_beside_itself_is_even(real: np.ndarray) -> None:
    found = against([seconds(real)], [seconds(real)])
    assert set(found) == set(MEASURES) and all(values == [1.0] * 8 for values in found.values())


def test_a_planted_dimming_is_measured(real: np.ndarray) -> None:
    dim = dimmed(real, 0.5)
    found = against([seconds(dim)], [seconds(real)])
    for name in ("brightness", "contrast", "colour"):
        assert found[name] == sorted(found[name], reverse=True)
        assert found[name][0] == 1 and found[name][-1] == pytest.approx(0.5, abs=0.02)
    drift = change([seconds(dim)] * 3, 2)
    still = change([seconds(real)] * 3, 2)
    planted = np.mean([1 - 0.5 * 6 / 7, 0.5]) / np.mean([1, 1 - 0.5 / 7])
    assert drift["brightness"]["mean"] / still["brightness"]["mean"] == pytest.approx(planted, abs=0.03)
    assert drift["clips"] == 3 and drift["brightness"]["low"] <= drift["brightness"]["mean"] <= drift["brightness"]["high"]


def test_blur_costs_sharpness_and_standing_still_costs_motion(real: np.ndarray) -> None:
    soft = np.stack([cv2.GaussianBlur(f, (0, 0), 3) for f in real.reshape(-1, 96, 160, 3)]).reshape(real.shape)
    assert all(value < 0.75 for value in against([seconds(soft)], [seconds(real)])["sharpness"])
    still = np.broadcast_to(real[:1, :1], real.shape)
    assert all(value < 0.5 for value in against([seconds(still)], [seconds(real)])["motion"])


@pytest.mark.parametrize("speed", [0, 1, 3])
def test_the_flow_is_the_speed_of_the_camera(speed: int) -> None:
    frames = Panning.make(chunks=4, speed=speed).frames.reshape(-1, 96, 160, 3)
    assert np.median(flow_lengths(frames)) == pytest.approx(speed, abs=0.35)


def test_clips_count_as_far_as_they_came(real: np.ndarray) -> None:
    short = [seconds(real[:10]), seconds(real[:0])]
    found = against(short, [seconds(real)] * 2)
    assert all(len(values) == 2 for values in found.values())
    assert change(short, 2)["clips"] == 0 and change(short, 2)["contrast"] is None


def test_a_longer_clip_is_set_against_the_level(real: np.ndarray) -> None:
    bright = {name: [10.0, 30.0] for name in MEASURES}
    found = against_level([{name: [20.0] * 5 for name in MEASURES}], [bright])
    assert all(found[name] == [1.0] * 5 for name in MEASURES) and set(FLOOR) == set(MEASURES)
