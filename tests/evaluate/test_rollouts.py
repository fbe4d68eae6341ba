"""Roll-outs: what the model wrote is counted rightly, and clips begin all over the recordings."""

from __future__ import annotations

import numpy as np
import pytest

from tests.evaluate.recordings import Panning
from tests.fakes import LINES, FakeBackend
from tv2tv_core.evaluate.rollouts import RollOut, choose_windows, plan_shares, roll_out
from tv2tv_core.settings import resolve

SETTINGS = resolve({"steps": 1, "temperature": 1.0})


def made(backend: FakeBackend, chunks: int = 12) -> RollOut:
    return roll_out(backend, np.full((4, 24, 40, 3), 90, np.uint8), "a room", chunks, SETTINGS, seed=1)


def test_every_chunk_is_either_planned_anew_or_goes_on() -> None:
    backend = FakeBackend()
    rollout = made(backend, 40)
    assert rollout.frames.shape == (40, 4, 24, 40, 3) and len(rollout.lines) == 40 and not rollout.unusable
    shares = plan_shares([rollout])
    assert 0 < shares.straight < 40 and shares.straight + shares.written == shares.chunks == 40 == backend.thoughts
    assert shares.readable == shares.canonical == shares.written and shares.valid_share == 1
    assert {line for line in rollout.lines if line} == set(LINES) and shares.distinct == len(LINES)


@pytest.mark.parametrize(
    ("line", "readable", "canonical"),
    [("run forward", 1, 1), ("sprint ahead and shoot", 1, 0), ("the cat sat on the mat", 0, 0)],
)
def test_written_lines_are_judged(line: str, readable: int, canonical: int) -> None:
    """The same line again and again counts every time that it is written, although the plan does not change."""
    shares = plan_shares([made(FakeBackend(line=line), 5)])
    assert (shares.straight, shares.written, shares.distinct) == (0, 5, 1)
    assert (shares.readable, shares.canonical) == (5 * readable, 5 * canonical)


def test_a_line_that_cannot_be_one_ends_the_clip_and_counts_as_invalid() -> None:
    rollout = made(FakeBackend(line="stand " * 100))
    assert rollout.unusable and rollout.frames.shape == (0, 4, 24, 40, 3)
    shares = plan_shares([rollout, made(FakeBackend(line="stand"), 3)])
    assert (shares.written, shares.readable, shares.chunks) == (4, 3, 4) and shares.valid_share == 0.75


def test_a_clip_that_the_model_ends_is_as_long_as_it_is() -> None:
    rollout = made(FakeBackend(end_at=3))
    assert len(rollout.frames) == len(rollout.lines) == 3 and not rollout.unusable


def test_a_fault_of_the_backend_is_no_result() -> None:
    with pytest.raises(RuntimeError, match="out of memory"):
        made(FakeBackend(fail_at=(2, 1)))


def test_no_written_line_has_no_share() -> None:
    assert plan_shares([RollOut(np.zeros((2, 4, 8, 8, 3), np.uint8), (None, None))]).valid_share is None


def test_windows_come_from_every_episode_and_cross_no_cut() -> None:
    recordings = [Panning.make(chunks=12, cut=5), Panning.make(chunks=4), Panning.make(chunks=12, seed=1)]
    chosen = choose_windows(recordings, 6, 4, seed=0)
    assert len(set(chosen)) == 4 and {episode for episode, _ in chosen[:2]} == {0, 2}
    assert all(episode != 0 or first in (5, 6) for episode, first in chosen)
    assert chosen == choose_windows(recordings, 6, 4, seed=0) and chosen[:3] == choose_windows(recordings, 6, 3, seed=0)
    assert chosen != choose_windows(recordings, 6, 4, seed=1)
