"""How well the next chunks are predicted: a predictor against the true frames, beside two baselines without a model.

The windows come from recordings: some past chunks, then the plan lines that were really played, then what really
came. Whatever predicts is a callable (`Predictor`); this module knows no model.
"""

from __future__ import annotations

import random
from collections.abc import Callable, Mapping, Sequence
from dataclasses import asdict, dataclass
from typing import Protocol

import cv2
import numpy as np

from tv2tv_core.data.shards import windows
from tv2tv_core.errors import InputError
from tv2tv_core.evaluate import metrics
from tv2tv_core.evaluate.stats import clustered

METRICS: Mapping[str, Callable[[np.ndarray, np.ndarray], np.ndarray]] = {
    "lpips": metrics.lpips,
    "psnr": metrics.psnr,
    "ssim": metrics.ssim,
    "sharpness": metrics.sharpness,
}


class Recording(Protocol):
    """What is needed of a recorded episode of n chunks (`data.shards.Episode` is one)."""

    frames: np.ndarray  # uint8 [n, 4, H, W, 3]
    lines: Sequence[str]  # the plan line of each chunk
    cuts: np.ndarray  # bool [n], true where a chunk does not continue the one before it, so for the first as well
    meta_prompt: str

    def __len__(self) -> int: ...


@dataclass(frozen=True)
class Past:
    """What a predictor is told of what happened: `frames` uint8 [h, 4, H, W, 3] with their plan lines, oldest first."""

    frames: np.ndarray
    lines: tuple[str, ...]
    meta_prompt: str


class Predictor(Protocol):
    """Predicts one chunk per plan line, uint8 [len(lines), 4, H, W, 3]. Same input and seed, same output."""

    def __call__(self, past: Past, lines: Sequence[str], seed: int) -> np.ndarray: ...


def repeat_last_frame(past: Past, lines: Sequence[str], seed: int = 0) -> np.ndarray:
    """Baseline: nothing moves any more. Shapes as for `Predictor`."""
    chunk = past.frames[-1]
    return np.broadcast_to(chunk[-1], (len(lines), *chunk.shape)).copy()


def repeat_last_motion(past: Past, lines: Sequence[str], seed: int = 0) -> np.ndarray:
    """Baseline: everything moves on as between the last two frames (DIS optical flow). Shapes as for `Predictor`.

    The flow is followed once more per frame and the last frame is sampled once, so that nothing blurs; what comes into
    view repeats the border.
    """
    chunk = past.frames[-1]
    last = np.ascontiguousarray(chunk[-1])
    greys = [cv2.cvtColor(np.ascontiguousarray(frame), cv2.COLOR_RGB2GRAY) for frame in (last, chunk[-2])]
    flow = cv2.DISOpticalFlow_create(cv2.DISOPTICAL_FLOW_PRESET_MEDIUM).calc(*greys, None)
    grid = np.stack(np.meshgrid(*(np.arange(size, dtype=np.float32) for size in last.shape[1::-1])), -1)
    source, predicted = grid, []
    for _ in range(len(lines) * len(chunk)):
        source = source + _sampled(flow, source)
        predicted.append(_sampled(last, source))
    return np.stack(predicted).reshape(len(lines), *chunk.shape)


def _sampled(image: np.ndarray, at: np.ndarray) -> np.ndarray:
    return cv2.remap(image, at, None, cv2.INTER_LINEAR, borderMode=cv2.BORDER_REPLICATE)


WindowScores = Mapping[str, Mapping[str, float]]
"""What one predictor reached in one window: horizon (as text, because JSON knows no other keys) → metric → value."""

BASELINES: Mapping[str, Predictor] = {"repeat last frame": repeat_last_frame, "repeat last motion": repeat_last_motion}


@dataclass(frozen=True)
class Score:
    """One cell: the mean of `metric` in the `horizon`-th predicted chunk, with its 95 % confidence interval.

    `windows` values of `groups` episodes.
    """

    predictor: str
    horizon: int
    metric: str
    mean: float
    low: float
    high: float
    windows: int
    groups: int


@dataclass(frozen=True)
class PredictionTable:
    """All scores of one suite and what they were measured on."""

    scores: tuple[Score, ...]
    windows: int
    episodes: int
    context: int
    seed: int

    def score(self, predictor: str, horizon: int, metric: str) -> Score:
        """One cell; raises KeyError when it was not measured."""
        for found in self.scores:
            if (found.predictor, found.horizon, found.metric) == (predictor, horizon, metric):
                return found
        raise KeyError((predictor, horizon, metric))

    def as_dict(self) -> dict[str, object]:
        """Everything as plain data for a JSON file."""
        return asdict(self)

    def markdown(self) -> str:
        """A table with one row per predictor and horizon; brackets hold the confidence intervals."""
        names = list(dict.fromkeys(score.metric for score in self.scores))
        rows = [f"| predictor | chunks ahead | {' | '.join(names)} |", "|---" * (len(names) + 2) + "|"]
        for predictor, horizon in dict.fromkeys((score.predictor, score.horizon) for score in self.scores):
            cells = (self.score(predictor, horizon, name) for name in names)
            texts = (f"{cell.mean:.3f} [{cell.low:.3f}, {cell.high:.3f}]" for cell in cells)
            rows.append(f"| {predictor} | {horizon} | {' | '.join(texts)} |")
        return "\n".join(rows)


def predict_suite(
    predictor: Predictor | None,
    episodes: Sequence[Recording],
    horizons: Sequence[int] = (1, 2, 4, 8),
    n: int = 64,
    seed: int = 0,
    context: int = 4,
) -> PredictionTable:
    """Scores `predictor` (None: the baselines alone) and the baselines on the same windows.

    Each of up to `n` windows has `context` past chunks and as many plan lines as the largest horizon; the h-th chunk
    is scored for each h of `horizons` (chunks ahead, from 1). Windows are drawn by `seed` and never cross a cut.
    Confidence intervals resample whole episodes, because windows of one episode resemble each other. Raises
    InputError when no episode is long enough.
    """
    if not horizons or min(horizons) < 1 or n < 1 or context < 1:
        raise InputError(f"Got horizons {list(horizons)}, n {n}, context {context}; all must be at least 1.")
    chosen = _draw_windows(episodes, context + max(horizons), n, seed)
    predictors = {"model": predictor, **BASELINES} if predictor is not None else dict(BASELINES)
    measured = []
    for position, (episode, first) in enumerate(chosen):
        past, lines, truth = cut_out(episodes[episode], first, context, max(horizons))
        measured.append(
            {name: measure(predict(past, lines, seed + position), truth, horizons) for name, predict in predictors.items()}
        )
    groups = [episode for episode, _ in chosen]
    return PredictionTable(tabulate(measured, groups, seed), len(chosen), len(set(groups)), context, seed)


def tabulate(measured: Sequence[Mapping[str, WindowScores]], groups: Sequence[object], seed: int = 0) -> tuple[Score, ...]:
    """Scores over windows that were measured one by one: `measured[i]` holds by predictor what `measure` gave, `groups[i]`
    is the episode of window i. Windows may differ in horizons; each cell has the windows that reach it."""
    cells = dict.fromkeys(
        (name, horizon, metric)
        for window in measured
        for name, by_horizon in window.items()
        for horizon, by_metric in by_horizon.items()
        for metric in by_metric
    )
    scores = []
    for name, horizon, metric in cells:
        having = [number for number, window in enumerate(measured) if horizon in window.get(name, {})]
        values = [measured[number][name][horizon][metric] for number in having]
        found = clustered(values, [groups[number] for number in having], seed)
        scores.append(Score(name, int(horizon), metric, found.mean, found.low, found.high, found.n, found.groups))
    return tuple(scores)


def _draw_windows(episodes: Sequence[Recording], length: int, n: int, seed: int) -> list[tuple[int, int]]:
    fitting = windows(episodes, length)
    if not fitting:
        raise InputError(
            f"None of the {len(episodes)} episodes has {length} chunks without a cut; "
            "record longer ones or ask for fewer chunks."
        )
    return random.Random(seed).sample(fitting, min(n, len(fitting)))


def cut_out(episode: Recording, first: int, context: int, ahead: int) -> tuple[Past, list[str], np.ndarray]:
    """`context` chunks from `first` on as the past, then the lines and the true frames of the `ahead` chunks after them."""
    now = first + context
    past = Past(np.array(episode.frames[first:now]), tuple(episode.lines[first:now]), episode.meta_prompt)
    return past, list(episode.lines[now : now + ahead]), np.array(episode.frames[now : now + ahead])


def measure(predicted: np.ndarray, truth: np.ndarray, horizons: Sequence[int]) -> WindowScores:
    """Each horizon's and metric's mean over the frames of that chunk; `predicted` must have the shape of `truth`."""
    steps = [horizon - 1 for horizon in horizons]
    if predicted.shape != truth.shape:
        raise ValueError(f"the predictor returned {predicted.shape}; asked for was {truth.shape}")
    values = {name: metric(predicted[steps], truth[steps]).mean(axis=1) for name, metric in METRICS.items()}
    return {
        str(horizon): {name: float(found[row]) for name, found in values.items()} for row, horizon in enumerate(horizons)
    }
