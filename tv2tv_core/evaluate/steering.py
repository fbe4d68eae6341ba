"""Steering: does what is written happen? Several actions from one moment, each against its own true future.

An instruction counts as followed when, of the true futures of all actions, the one nearest to the model's frame (LPIPS)
is that of the instructed action.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Sequence
from dataclasses import dataclass

import numpy as np

from tv2tv_core.data.arena import Arena
from tv2tv_core.data.futures import true_future
from tv2tv_core.data.recording import Recording
from tv2tv_core.engine.backend import Backend
from tv2tv_core.evaluate import metrics
from tv2tv_core.evaluate.backend_predictor import act_out
from tv2tv_core.plan import parse
from tv2tv_core.settings import GenerationSettings

LINES = (
    "stand, turn left 45",
    "run forward",
    "run strafe left",
    "stand, look up 20",
    "stand, fire",
    "stand, turn right 45",
    "run back",
    "run strafe right",
)
"""Held on every chunk; the first two are the ones that everybody tries first."""
MIN_APART = 0.03  # LPIPS; an action whose true future looks like another's (run forward at a wall) cannot be told apart
WILSON_Z = 1.96  # 95 %


@dataclass(frozen=True, eq=False)
class Moment:
    """Where actions begin: the start chunk uint8 [4, H, W, 3], its prompt, and the recording that leads there.

    `recording` up to chunk `chunk` (not included) ends with that start chunk.
    """

    name: str
    frames: np.ndarray
    meta_prompt: str
    recording: Recording
    chunk: int


@dataclass(frozen=True, eq=False)
class Steered:
    """What the model made and what would really have happened: both uint8 [lines, chunks, 4, H, W, 3]."""

    name: str
    start: np.ndarray
    lines: tuple[str, ...]
    made: np.ndarray
    truth: np.ndarray


@dataclass(frozen=True)
class SteeringScore:
    """How often the instructed action happened `horizon` chunks after the moment; `low`, `high`: Wilson, 95 %.

    `confusion[i][j]` counts instructions `lines[i]` whose frame is nearest to the true future of `lines[j]`. `left_out`
    counts instructions that could not be told apart from another one there.
    """

    horizon: int
    correct: int
    trials: int
    share: float
    low: float
    high: float
    chance: float
    left_out: int
    lines: tuple[str, ...]
    confusion: tuple[tuple[int, ...], ...]


def true_futures(moment: Moment, lines: Sequence[str], chunks: int, arena: Arena | None = None) -> np.ndarray:
    """The true future of every line held for `chunks` chunks, uint8 [lines, chunks, 4, 96, 160, 3]."""
    opened = arena or Arena(moment.recording.map)
    try:
        return np.stack([true_future(moment.recording, moment.chunk, parse(line), chunks, opened) for line in lines])
    finally:
        if arena is None:
            opened.close()


def steer(
    backend: Backend,
    moment: Moment,
    truth: np.ndarray,
    lines: Sequence[str],
    settings: GenerationSettings,
    *,
    seed: int = 0,
    on_chunk: Callable[[], None] = lambda: None,
) -> Steered:
    """Hold every line from `moment` for as many chunks as `truth` [lines, chunks, ...] has, all from the same noise."""
    history = backend.begin(moment.meta_prompt, moment.frames)
    made = [act_out(backend, history, [line] * truth.shape[1], settings, seed, on_chunk) for line in lines]
    return Steered(moment.name, moment.frames, tuple(lines), np.stack(made), truth)


def score(steered: Sequence[Steered], horizon: int) -> SteeringScore:
    """Accuracy in the last frame of the `horizon`-th chunk (from 1). All of `steered` must hold the same lines."""
    lines = steered[0].lines
    confusion = np.zeros((len(lines), len(lines)), int)
    left_out = 0
    for one in steered:
        made, truth = one.made[:, horizon - 1, -1], one.truth[:, horizon - 1, -1]
        apart = distances(truth, truth)
        np.fill_diagonal(apart, np.inf)
        nearest = distances(made, truth).argmin(axis=1)
        for row in range(len(lines)):
            if apart[row].min() < MIN_APART:
                left_out += 1
            else:
                confusion[row, nearest[row]] += 1
    correct, trials = int(np.trace(confusion)), int(confusion.sum())
    low, high = wilson(correct, trials)
    table = tuple(tuple(int(count) for count in row) for row in confusion)
    share = correct / max(1, trials)
    return SteeringScore(horizon, correct, trials, share, low, high, 1 / len(lines), left_out, lines, table)


def distances(frames: np.ndarray, others: np.ndarray) -> np.ndarray:
    """LPIPS of every frame, uint8 [n, H, W, 3], to every one of `others` [m, H, W, 3]: float64 [n, m]."""
    n, m = len(frames), len(others)
    pairs = np.repeat(frames, m, axis=0), np.tile(others, (n, 1, 1, 1))
    return metrics.lpips(*pairs).reshape(n, m)


def wilson(correct: int, trials: int) -> tuple[float, float]:
    """95 % score interval of a share (Wilson 1927), within [0, 1]; all of [0, 1] when nothing was tried."""
    if not trials:
        return 0.0, 1.0
    share, z2 = correct / trials, WILSON_Z**2
    middle = (share + z2 / (2 * trials)) / (1 + z2 / trials)
    half = WILSON_Z * math.sqrt(share * (1 - share) / trials + z2 / (4 * trials**2)) / (1 + z2 / trials)
    # Nothing and everything are exact ends; the formula only comes as near as rounding allows.
    return 0.0 if not correct else middle - half, 1.0 if correct == trials else middle + half


def rows(steered: Sequence[Steered], lines: Sequence[str] | None = None) -> list[tuple[str, np.ndarray]]:
    """Labelled rows for a contact sheet: model above true future, for each start and line; clips are THWC.

    A row begins with the last frame of the start and shows two frames of each chunk after it: every column is one
    moment, so this is to be drawn with `every=1`.
    """
    found = []
    for one in steered:
        for line in lines or one.lines:
            row = one.lines.index(line)
            for kind, clip in (("model", one.made[row]), ("true future", one.truth[row])):
                later = clip[:, 1::2].reshape(-1, *clip.shape[-3:])
                found.append((f"{one.name}: {line} · {kind}", np.concatenate([one.start[-1:], later])))
    return found
