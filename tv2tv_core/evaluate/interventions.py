"""Interventions: does what is written happen? K actions from one moment, each against the K true futures.

A result is correct when, of all true futures, the one of the instructed action is nearest to what the model made (LPIPS,
mean over the frames of the k-th chunk that the action is held). Three insertions are measured: right after true history
(nothing but obedience is measured), and after 1 s and 3 s in which the model went on under the true plan lines. There the
model's picture is no longer the true one, so two questions mix: is it obeyed, and is it still where it should be? The
plain measure answers both at once. The *relative* one asks for obedience alone: from the distance to each true future it
takes away how near that future is to the model's pictures on average, whatever was instructed. A model that does not
read the line scores 1/K in both.
"""

from __future__ import annotations

import random
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np

from tv2tv_core.engine.backend import Backend
from tv2tv_core.evaluate.backend_predictor import go_on, true_history
from tv2tv_core.evaluate.codec_quality import reconstruct
from tv2tv_core.evaluate.metrics import lpips, lpips_to_first
from tv2tv_core.evaluate.moments import ACTIONS, Moment, Truth
from tv2tv_core.evaluate.prediction import Past
from tv2tv_core.plan import paraphrase, parse
from tv2tv_core.settings import GenerationSettings

CONTEXT = 4  # true chunks that the model is told
INSERTIONS = (0, 4, 13)  # chunks of roll-out before the action: 0, 0.9 and 3.0 s
HELD = (1, 4)  # the k-th chunk of the action is compared
CANONICAL, PARAPHRASE, CODEC, TRUTH = "canonical", "paraphrase", "codec", "truth"
MIN_APART = 0.03  # LPIPS; an action whose true future is nearer to another's (run forward at a wall) cannot be told from it
TIE = 1e-6  # LPIPS; pictures nearer than this are the same
_DIGITS = 5


@dataclass(frozen=True, eq=False)
class Player:
    """A backend and how it acts: at the denoising steps and guidance of `settings`, with the noise of `seed`."""

    backend: Backend
    settings: GenerationSettings
    seed: int


@dataclass(frozen=True, eq=False)
class Inserted:
    """What was made at one moment: `frames` uint8 [K, chunks, 4, H, W, 3] by wording, and the frame before it [H, W, 3]."""

    lines: dict[str, tuple[str, ...]]
    frames: dict[str, np.ndarray]
    before: np.ndarray


def insertion_point(moment: Moment, after: int) -> Moment:
    """The moment `after` chunks later, where the action is inserted when the model goes on for so long."""
    return Moment(moment.split, moment.episode, moment.chunk + after)


def insert(
    player: Player, moment: Moment, after: int, lines: dict[str, tuple[str, ...]], tick: Callable[[], None]
) -> Inserted:
    """Tell the model the true past of `moment`, let it go on for `after` chunks, then hold each line for max(HELD) chunks.

    `lines` holds K lines per wording. All lines start from the same history and the same noise.
    """
    episode, now = moment.episode, moment.chunk
    first = now - CONTEXT
    past = Past(np.array(episode.frames[first:now]), tuple(episode.lines[first:now]), episode.meta_prompt)
    backend, settings, seed = player.backend, player.settings, player.seed
    history = true_history(backend, past)
    history = go_on(backend, history, episode.lines[now : now + after], settings, seed, tick)
    made: dict[str, list[np.ndarray]] = {wording: [] for wording in lines}
    for wording, written in lines.items():
        for line in written:
            grown = go_on(backend, history, [line] * max(HELD), settings, seed, tick)
            made[wording].append(np.stack([chunk.frames for chunk in grown.chunks[-max(HELD) :]]))
    before = history.chunks[-1].frames[-1]
    return Inserted(lines, {wording: np.stack(frames) for wording, frames in made.items()}, before)


def wordings(truth: Truth, moment: Moment, both: bool) -> dict[str, tuple[str, ...]]:
    """The lines of every action: as the grammar writes them and, when `both`, in held-out words; the same for every model."""
    found = {CANONICAL: truth.lines}
    if both:
        rng = random.Random(moment.name)
        found[PARAPHRASE] = tuple(paraphrase(parse(line), rng, held_out=True) for line in truth.lines)
    return found


def compare(inserted: Inserted, truth: Truth, before: np.ndarray, codec: Any) -> dict[str, Any]:
    """All distances of one moment to its true futures as plain data: per wording, for the truth, and for the truth sent
    through the codec, K rows of K each.

    `before` is the true frame before the action. `codec` may be None: then the ceiling is the truth itself.
    """
    found: dict[str, Any] = {
        "lines": {wording: list(lines) for wording, lines in inserted.lines.items()},
        "died": truth.died.tolist(),
        "base": float(lpips(inserted.before, before)),
        "distances": {},
    }
    for held in HELD:
        real = truth.at(held)
        coded = real if codec is None else reconstruct(codec, real)
        sets = {TRUTH: real, CODEC: coded} | {name: made[:, held - 1] for name, made in inserted.frames.items()}
        rows = np.concatenate(list(sets.values()))
        per_frame = [lpips_to_first(rows[:, frame], len(real)) for frame in range(real.shape[1])]  # the truth comes first
        for name, table in zip(sets, np.split(np.mean(per_frame, axis=0).round(_DIGITS), len(sets)), strict=True):
            found["distances"].setdefault(name, {})[str(held)] = table.tolist()
    return found


# Judging -------------------------------------------------------------------------------------------------------------


def credit(distances: np.ndarray) -> np.ndarray:
    """How far each row i of [K, K] is correct: 1 when column i alone is nearest, 1/n when it is one of n, else 0."""
    nearest = distances <= distances.min(axis=1, keepdims=True) + TIE
    return np.diagonal(nearest) / nearest.sum(axis=1)


def relative(distances: np.ndarray, rows: np.ndarray) -> np.ndarray:
    """Distances [K, K] without what every instruction shares: each column less its mean over `rows` (bool [K])."""
    return distances - distances[rows].mean(axis=0, keepdims=True)


@dataclass(frozen=True, eq=False)
class Trials:
    """One wording at one insertion and held time over many moments: what `summary` makes figures of.

    correct, relative, ceiling: float [moments, K], nan where the player died. nearest: int [moments, K]. tellable: bool
    [moments, K], the true future is at least MIN_APART from every other one and is recognised after the codec.
    """

    correct: np.ndarray
    relative: np.ndarray
    ceiling: np.ndarray
    tellable: np.ndarray
    nearest: np.ndarray


def trials(values: Sequence[dict[str, Any]], wording: str, held: int) -> Trials:
    """The trials of all `values` (of `compare`) that have this wording."""
    rows: dict[str, list[np.ndarray]] = {"correct": [], "relative": [], "ceiling": [], "tellable": [], "nearest": []}
    for value in values:
        if wording not in value["distances"]:
            continue
        lived = ~np.array(value["died"], bool)
        made, coded, apart = (np.array(value["distances"][name][str(held)]) for name in (wording, CODEC, TRUTH))
        np.fill_diagonal(apart, np.inf)
        gone = np.where(lived, 0, np.nan)
        rows["correct"].append(credit(made) + gone)
        rows["relative"].append(credit(relative(made, lived)) + gone if lived.any() else gone)
        rows["ceiling"].append(credit(coded) + gone)
        rows["tellable"].append((credit(coded) == 1) & (apart.min(axis=1) >= MIN_APART))
        rows["nearest"].append(made.argmin(axis=1))
    width = len(ACTIONS)
    return Trials(**{name: np.reshape(found, (-1, width)) for name, found in rows.items()})
