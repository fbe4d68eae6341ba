"""How frames look, whatever they show: sharpness, brightness, contrast, colour and movement, second by second."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import asdict
from fractions import Fraction
from typing import Any

import cv2
import numpy as np

from tv2tv_core.evaluate.stats import RESAMPLES, Estimate

MEASURES = ("sharpness", "brightness", "contrast", "colour", "motion")
# Added to both sides of every ratio: a dark, still second must not give an arbitrary number. Grey levels; pixels for motion.
FLOOR = {"sharpness": 1.0, "brightness": 1.0, "contrast": 1.0, "colour": 1.0, "motion": 0.1}
Seconds = Mapping[str, list[float]]


def appearance(frames: np.ndarray) -> Mapping[str, np.ndarray]:
    """[n] per measure of uint8 frames [n, H, W, 3].

    sharpness: mean size of the brightness gradient, grey levels per pixel; brightness: mean, contrast: standard deviation
    of the grey levels (0 to 255); colour: mean difference of the largest and the smallest channel (0 to 255); motion: mean
    length of the optical flow (DIS) from the frame before, pixels (the first frame repeats the second).
    """
    red, green, blue = (frames[..., channel].astype(np.float32) for channel in range(3))
    grey = (red + green + blue) / 3
    across, along = np.abs(np.diff(grey, axis=-1)), np.abs(np.diff(grey, axis=-2))
    spread = np.maximum(np.maximum(red, green), blue) - np.minimum(np.minimum(red, green), blue)
    flow = flow_lengths(frames)
    return {
        "sharpness": across.mean(axis=(1, 2)) + along.mean(axis=(1, 2)),
        "brightness": grey.mean(axis=(1, 2)),
        "contrast": grey.std(axis=(1, 2)),
        "colour": spread.mean(axis=(1, 2)),
        "motion": np.concatenate([flow[:1], flow]) if len(flow) else np.zeros(len(grey)),
    }


def flow_lengths(frames: np.ndarray) -> np.ndarray:
    """Mean length of the optical flow between neighbours of uint8 frames [n, H, W, 3], pixels: float64 [n - 1]."""
    flow = cv2.DISOpticalFlow_create(cv2.DISOPTICAL_FLOW_PRESET_FAST)
    greys = [cv2.cvtColor(np.ascontiguousarray(frame), cv2.COLOR_RGB2GRAY) for frame in frames]
    pairs = zip(greys, greys[1:], strict=False)
    return np.array([float(np.hypot(*flow.calc(a, b, None).transpose(2, 0, 1)).mean()) for a, b in pairs])


def by_second(clip: np.ndarray, fps: Fraction) -> dict[str, list[float]]:
    """The mean of every measure in each whole second of a clip, uint8 [n, 4, H, W, 3]; a shorter clip gives one value."""
    frames = clip.reshape(-1, *clip.shape[-3:])
    if not len(frames):
        return {name: [] for name in MEASURES}
    seconds = max(1, int(len(frames) / fps))
    second = np.array([int(number / fps) for number in range(len(frames))])
    return {
        name: [float(values[second == number].mean()) for number in range(seconds)]
        for name, values in appearance(frames).items()
    }


def against(made: Sequence[Seconds], real: Sequence[Seconds]) -> dict[str, list[float]]:
    """Per measure and second the mean of `made` divided by that of `real`: 1 means like real play.

    Clips may differ in length; a second counts as far as any clip of either side came.
    """
    of_made, of_real = (_mean_seconds(clips) for clips in (made, real))
    return {
        name: [(a + FLOOR[name]) / (b + FLOOR[name]) for a, b in zip(of_made[name], of_real[name], strict=False)]
        for name in MEASURES
    }


def against_level(made: Sequence[Seconds], real: Sequence[Seconds]) -> dict[str, list[float]]:
    """Like `against`, but by the mean level of all seconds of `real`: for clips that are longer than any real one."""
    levels = {name: float(np.mean([value for clip in real for value in clip[name]])) for name in MEASURES}
    means = _mean_seconds(made)
    return {name: [(a + FLOOR[name]) / (levels[name] + FLOOR[name]) for a in means[name]] for name in MEASURES}


def change(clips: Sequence[Seconds], edge: int) -> dict[str, Any]:
    """Per measure: the mean of the last `edge` seconds over that of the first, with an interval that resamples clips.

    `clips` counts those of at least twice `edge` seconds; the others are left out. A measure is None without any.
    """
    long = [clip for clip in clips if len(clip["brightness"]) >= 2 * edge]
    found: dict[str, Any] = {"clips": len(long)}
    for name in MEASURES:
        ends = np.array([[np.mean(clip[name][-edge:]), np.mean(clip[name][:edge])] for clip in long]).reshape(-1, 2)
        found[name] = None if not long else asdict(_ratio(ends + FLOOR[name]))
    return found


def _ratio(ends: np.ndarray) -> Estimate:
    """Sum of column 0 over sum of column 1 of [clips, 2], bootstrap over clips."""
    picks = np.random.default_rng(0).integers(len(ends), size=(RESAMPLES, len(ends)))
    sums = ends[picks].sum(axis=1)
    low, high = np.quantile(sums[:, 0] / sums[:, 1], [0.025, 0.975])
    return Estimate(float(ends[:, 0].sum() / ends[:, 1].sum()), float(low), float(high), len(ends), len(ends))


def _mean_seconds(clips: Sequence[Seconds]) -> dict[str, list[float]]:
    longest = max((len(clip["brightness"]) for clip in clips), default=0)
    return {
        name: [float(np.mean([clip[name][n] for clip in clips if n < len(clip[name])])) for n in range(longest)]
        for name in MEASURES
    }
