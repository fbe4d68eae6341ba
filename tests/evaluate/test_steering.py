"""Steering: an instruction counts as followed exactly when its own true future is the nearest one."""

from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from tests.evaluate.recordings import Panning
from tests.fakes import FakeBackend
from tv2tv_core.data.futures import true_frames
from tv2tv_core.data.starts import list_starts
from tv2tv_core.evaluate.report import moments
from tv2tv_core.evaluate.steering import LINES, Steered, rows, score, steer, true_futures, wilson
from tv2tv_core.media.sheet import contact_sheet
from tv2tv_core.plan import is_canonical
from tv2tv_core.settings import resolve

THREE = ("stand", "run forward", "run back")


def futures(seed: int = 0) -> np.ndarray:
    """Three different futures of two chunks, uint8 [3, 2, 4, 96, 160, 3]."""
    return np.stack([Panning.make(chunks=2, seed=3 * seed + number).frames for number in range(3)])


def steered(made: np.ndarray, truth: np.ndarray, name: str = "hall") -> Steered:
    return Steered(name, truth[0, 0], THREE, made, truth)


def test_the_true_future_itself_follows_every_instruction() -> None:
    found = score([steered(futures(seed), futures(seed)) for seed in range(2)], horizon=2)
    assert (found.correct, found.trials, found.share, found.left_out) == (6, 6, 1.0, 0)
    assert found.chance == pytest.approx(1 / 3) and found.confusion == ((2, 0, 0), (0, 2, 0), (0, 0, 2))
    assert found.low < 1.0 == found.high


def test_another_future_follows_none_and_says_which_it_was() -> None:
    found = score([steered(np.roll(futures(), 1, axis=0), futures())], horizon=1)
    assert found.correct == 0 and found.confusion == ((0, 0, 1), (1, 0, 0), (0, 1, 0))


def test_the_horizon_chooses_the_chunk() -> None:
    truth = futures()
    made = truth.copy()
    made[:, 1] = np.roll(truth, 1, axis=0)[:, 1]
    assert [score([steered(made, truth)], horizon).correct for horizon in (1, 2)] == [3, 0]


def test_instructions_that_look_alike_are_left_out() -> None:
    truth = futures()
    truth[1] = truth[0]  # running into a wall is standing
    found = score([steered(truth, truth)], horizon=1)
    assert (found.left_out, found.trials, found.correct) == (2, 1, 1)


@given(st.integers(1, 500).flatmap(lambda n: st.tuples(st.integers(0, n), st.just(n))))
def test_the_interval_holds_the_share(counts: tuple[int, int]) -> None:
    correct, trials = counts
    low, high = wilson(correct, trials)
    assert 0 <= low <= correct / trials + 1e-9 and correct / trials - 1e-9 <= high <= 1
    wider = wilson(correct, trials)[1] - wilson(correct, trials)[0]
    assert wilson(4 * correct, 4 * trials)[1] - wilson(4 * correct, 4 * trials)[0] < wider
    assert (low, high) == pytest.approx(tuple(1 - end for end in wilson(trials - correct, trials)[::-1]))


def test_the_interval_has_wilsons_values() -> None:
    assert wilson(8, 10) == pytest.approx((0.4902, 0.9433), abs=1e-4)
    assert wilson(0, 0) == (0.0, 1.0)


def test_rows_pair_model_and_truth_from_one_start() -> None:
    one = steered(np.roll(futures(), 1, axis=0), futures())
    found = rows([one, one], THREE[:2])
    assert [label.split(" · ")[1] for label, _ in found] == ["model", "true future"] * 4
    assert all(len(clip) == 1 + 2 * 2 and np.array_equal(clip[0], one.start[-1]) for _, clip in found)
    assert np.array_equal(found[3][1][-1], one.truth[1, -1, -1])
    assert contact_sheet(found, every=1).shape[1] == 5 * (160 + 2)


def test_the_lines_are_canonical_and_different() -> None:
    assert all(is_canonical(line) for line in LINES) and len(set(LINES)) == len(LINES)


def test_a_shipped_start_continues_without_a_jump() -> None:
    """The moment's recording ends with the very frames that the model is given, so the future begins right after."""
    [moment] = moments([], 1, seed=0)
    assert moment.name == list_starts()[0]
    assert np.array_equal(true_frames(moment.recording, moment.chunk - 1, 1)[0], moment.frames)
    truth = true_futures(moment, ("stand", "stand, turn left 45"), 1)
    assert truth.shape == (2, 1, 4, 96, 160, 3)
    change = np.abs(truth[:, 0, 0].astype(int) - moment.frames[-1]).mean(axis=(1, 2, 3))
    assert change[0] < change[1]
    backend = FakeBackend(160, 96)
    made = steer(backend, moment, truth, ("stand", "stand, turn left 45"), resolve({"steps": 2}))
    assert made.made.shape == truth.shape and backend.steps == 2 * 2 and backend.thoughts == 0
