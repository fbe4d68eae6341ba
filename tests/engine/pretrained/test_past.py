"""What counts as the past: moving frames only, in whole groups; and colours that are drawn towards the first look."""

from __future__ import annotations

import numpy as np
import pytest

from tv2tv_core.engine.pretrained.colour import GAIN, SHIFT, first_look, look_of, match_colour
from tv2tv_core.engine.pretrained.past import moving_part, past_frames, whole_groups
from tv2tv_core.timeline import ChunkSegment, History, TextSegment


def frames(*values: int) -> np.ndarray:
    """One frame for each value; the corner tells a picture from a flat colour."""
    stacked = np.stack([np.full((4, 4, 3), value, np.uint8) for value in values])
    stacked[:, 0, 0] = 255
    return stacked


def values(stacked: np.ndarray) -> list[int]:
    return stacked[:, 3, 3, 0].tolist()


def story(start: np.ndarray, *chunks: np.ndarray) -> History:
    node = History(ChunkSegment(-1, start, None)).then(TextSegment("walks", "model"))
    for i, chunk in enumerate(chunks):
        node = node.then(ChunkSegment(i, chunk, None))
    return node


def test_a_start_counts_as_far_as_it_moves():
    assert values(moving_part(frames(1, 2, 3, 3, 3))) == [1, 2, 3]
    assert values(moving_part(frames(7, 7, 7))) == [7]
    assert len(moving_part(np.full((5, 4, 4, 3), 127, np.uint8))) == 0
    assert values(moving_part(frames(1, 1, 2))) == [1, 1, 2]


def test_the_past_reaches_back_over_chunks_and_no_further_than_asked():
    told = story(frames(1, 2, 2, 2), frames(3, 4, 5, 5), frames(6, 7, 8, 9))
    assert values(past_frames(told, 6)) == [5, 5, 6, 7, 8, 9]  # stillness that was drawn is meant
    assert values(past_frames(told, 99)) == [1, 2, 3, 4, 5, 5, 6, 7, 8, 9]
    assert len(past_frames(story(np.zeros((4, 4, 4, 3), np.uint8)), 9)) == 0


@pytest.mark.parametrize(("count", "group", "kept"), [(0, 4, 0), (1, 4, 1), (4, 4, 1), (5, 4, 5), (16, 8, 9), (17, 8, 17)])
def test_groups_are_whole(count, group, kept):
    taken = whole_groups(frames(*range(count)) if count else frames(1)[:0], group)
    assert len(taken) == kept and (not kept or values(taken)[-1] == count - 1)


def test_the_first_look_is_the_start_or_else_the_first_chunk():
    flat = np.full((4, 4, 4, 3), 127, np.uint8)
    assert first_look(story(frames(1, 2), frames(9))).segment.index == -1
    assert first_look(story(flat, frames(9), frames(10))).segment.index == 0
    assert first_look(story(flat)) is None


def test_colours_come_nearer_within_bounds():
    rng = np.random.default_rng(0)
    wanted = rng.integers(60, 180, (4, 32, 32, 3), dtype=np.uint8)
    drifted = (wanted.astype(float) + 6).clip(0, 255).astype(np.uint8)
    nearer = match_colour(drifted, look_of(wanted))
    assert abs(nearer.mean() - wanted.mean()) < 0.6 * abs(drifted.mean() - wanted.mean())
    night = (wanted * 0.2).astype(np.uint8)
    kept = match_colour(night, look_of(wanted)).mean() - night.mean()
    assert 0 < kept <= SHIFT + 1  # another light stays another light
    assert match_colour(night, look_of(wanted)).std() <= night.std() * (1 + GAIN) + 1
    assert np.abs(match_colour(wanted, look_of(wanted)).astype(int) - wanted).max() <= 1
