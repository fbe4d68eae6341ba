"""Delivery stages over streams: exact counts, lazy, in little memory, and never across a cut."""

from __future__ import annotations

import itertools
import math
from collections.abc import Iterator
from fractions import Fraction

import cv2
import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from tests.media.delivery_nets import PlainNet
from tv2tv_core.data.starts import list_starts, load_start
from tv2tv_core.errors import InputError
from tv2tv_core.media.delivery import BLOCK, FACTORS, PAIRS, SPEEDS, WEIGHTS, Delivery, deliver, is_cut, sharpen, smooth
from tv2tv_core.presets import read_sums


def flat(values: list[int]) -> list[np.ndarray]:
    """Frames of one grey each."""
    return [np.full((24, 40, 3), value, np.uint8) for value in values]


def greys(frames: Iterator[np.ndarray]) -> list[int]:
    """The grey of each frame."""
    return [int(frame.mean()) for frame in frames]


def noise(seed: int) -> np.ndarray:
    """A scene like no other: coarse blocks of random colours, uint8 [48, 80, 3]."""
    return np.random.default_rng(seed).integers(0, 255, (6, 10, 3), dtype=np.uint8).repeat(8, 0).repeat(8, 1)


@given(st.integers(0, 23), st.sampled_from([1, 2, 3, 4, 5, 16]))
def test_n_frames_become_n_minus_one_times_factor_plus_one(count: int, factor: int) -> None:
    given_frames = flat([10 + 2 * k for k in range(count)])
    made = list(smooth(given_frames, factor, net=PlainNet()))
    assert len(made) == ((count - 1) * factor + 1 if count else 0) == Delivery.count(_factor(factor), count)
    assert all(np.array_equal(a, b) for a, b in zip(made[::factor], given_frames, strict=True))


def _factor(factor: int) -> Delivery:
    """A delivery with any factor, also one that exports do not offer."""
    delivery = Delivery()
    object.__setattr__(delivery, "fps_factor", factor)
    return delivery


def test_what_lies_between_comes_in_order() -> None:
    assert greys(smooth(flat([0, 8, 16]), 4, net=PlainNet())) == list(range(0, 17, 2))


@pytest.mark.parametrize("factor", [2, 3, 4])
def test_nothing_is_mixed_across_a_cut(factor: int) -> None:
    scenes = [noise(1)] * 3 + [noise(2)] * 3
    assert is_cut(scenes[2], scenes[3]) and not is_cut(scenes[0], scenes[1])
    made = list(smooth(scenes, factor, net=PlainNet()))
    assert len(made) == 5 * factor + 1
    kinds = [0 if np.array_equal(frame, scenes[0]) else 1 if np.array_equal(frame, scenes[3]) else 2 for frame in made]
    assert kinds == sorted(kinds) and set(kinds) == {0, 1}


def test_sharpening_never_sees_both_sides_of_a_cut() -> None:
    net = PlainNet()
    made = list(sharpen([noise(1)] * 9 + [noise(2)] * 9, 2, net))
    assert len(made) == 18 and all(len(set(block)) == 1 for block in net.blocks)


@pytest.mark.parametrize("turn", [1, 4, 8])
def test_a_fast_turn_is_no_cut(turn: int) -> None:
    wide = np.random.default_rng(0).integers(0, 255, (12, 40, 3), dtype=np.uint8)
    wide = cv2.resize(wide, (320, 96), interpolation=cv2.INTER_CUBIC)
    assert not is_cut(wide[:, 40:200], wide[:, 40 + turn : 200 + turn])


@given(st.integers(0, 40), st.sampled_from([1, 2, 4]))
def test_sharpening_keeps_number_and_order(count: int, scale: int) -> None:
    made = list(sharpen(flat([5 * k for k in range(count)]), scale, PlainNet()))
    assert greys(iter(made)) == [5 * k for k in range(count)]
    assert all(frame.shape == (24 * scale, 40 * scale, 3) for frame in made)


@pytest.mark.parametrize("delivery", [Delivery(2, 1), Delivery(1, 4), Delivery(4, 2), Delivery(1, 1, 0.5), Delivery(1, 2, 4)])
def test_a_stream_without_end_is_delivered_as_it_comes(delivery: Delivery) -> None:
    taken = itertools.count()

    def endless() -> Iterator[np.ndarray]:
        for number in taken:
            yield np.full((24, 40, 3), number % 60, np.uint8)

    net = PlainNet()
    made = list(itertools.islice(deliver(endless(), delivery, Fraction(35, 2), net), 100))
    assert len(made) == 100
    assert next(taken) <= int(100 * delivery.step) + 2 * (PAIRS + BLOCK) * max(1, int(delivery.step)) + 2
    assert max(net.pairs, default=0) <= PAIRS and max(map(len, net.blocks), default=0) <= BLOCK + 2


@given(st.integers(0, 23), st.sampled_from(FACTORS), st.sampled_from(SPEEDS))
def test_frames_at_a_speed_follow_the_formula(count: int, factor: int, speed: float) -> None:
    chosen, clip, net = Delivery(factor, 1, speed), flat([10 + 8 * k for k in range(count)]), PlainNet()
    made = list(deliver(clip, chosen, Fraction(35, 2), net))
    assert len(made) == chosen.count(count) == (math.floor((count - 1) * factor / speed) + 1 if count else 0)
    # Each picture stands where the speed says, and one that falls on a frame is that very frame.
    places = [number * speed / factor for number in range(len(made))]
    assert greys(iter(made)) == [round(10 + 8 * place) for place in places]
    assert all(np.array_equal(picture, clip[int(at)]) for picture, at in zip(made, places, strict=True) if at == int(at))
    assert bool(net.pairs) <= chosen.draws and chosen.draws == (speed < factor)


@given(st.integers(1, 40), st.sampled_from(FACTORS), st.sampled_from(SPEEDS))
def test_a_frame_of_the_clip_stands_at_its_time(frame: int, factor: int, speed: float) -> None:
    chosen = Delivery(factor, 1, speed)
    picture = chosen.place(frame)
    assert picture * chosen.step >= frame > (picture - 1) * chosen.step
    late = picture / factor - frame / speed  # in frames of the clip: never early, less than a picture late
    assert 0 <= late < 1 / factor


def test_slow_motion_mixes_nothing_across_a_cut() -> None:
    scenes = [noise(1)] * 2 + [noise(2)] * 2
    made = list(deliver(scenes, Delivery(2, 1, 0.25), Fraction(35, 2), PlainNet()))
    kinds = [0 if np.array_equal(frame, scenes[0]) else 1 if np.array_equal(frame, scenes[3]) else 2 for frame in made]
    assert len(made) == 3 * 8 + 1 and kinds == sorted(kinds) and set(kinds) == {0, 1}


def test_more_frames_between_are_made_of_fewer_pairs_at_once() -> None:
    for speed, most in ((1, 4), (0.5, 2), (0.25, 1)):
        net = PlainNet()
        list(deliver(flat(list(range(0, 40, 2))), Delivery(4, 1, speed), Fraction(35, 2), net))
        assert max(net.pairs) == most and sum(net.pairs) == 19


def test_nothing_is_loaded_for_nothing() -> None:
    frames = flat([1, 2, 3])
    assert list(deliver(frames, Delivery(), Fraction(35, 2), net=None)) == frames
    assert list(deliver(frames, Delivery(2, 1, 2), Fraction(35, 2))) == frames
    assert list(deliver(frames, Delivery(1, 1, 2), Fraction(35, 2))) == frames[::2]
    assert list(smooth([], 2)) == list(sharpen([], 4)) == []
    assert len(list(smooth(frames[:1], 4))) == 1


def test_other_values_are_refused_with_words() -> None:
    for values in ((3, 1), (0, 1), (1, 3), (True, 1), (1, 2.0), ("2", 1)):
        with pytest.raises(InputError, match="allowed are 1, 2, 4"):
            Delivery(*values)
    for speed in (0, 3, 0.3, -1, True, "2", None, float("nan"), float("inf"), [2]):
        with pytest.raises(InputError, match=r"allowed are 0\.25, 0\.5, 1, 2, 4"):
            Delivery(1, 1, speed)
    for factor in (0, 17, 2.0, True):
        with pytest.raises(InputError, match="1 to 16"):
            smooth([], factor)
    with pytest.raises(InputError, match="1, 2, 4"):
        sharpen([], 3)


def test_the_shipped_networks_are_the_listed_ones_and_deliver() -> None:
    assert WEIGHTS.stat().st_size <= 12e6 and WEIGHTS.name in read_sums(WEIGHTS.parent)
    start = load_start(list_starts()[0]).frames[-1]
    turning = [np.roll(start, 2 * k, axis=1) for k in range(3)]
    made = list(deliver(turning, Delivery(2, 4), Fraction(35, 2)))
    assert len(made) == 5 and all(frame.shape == (384, 640, 3) for frame in made)
    back = [cv2.resize(frame, (160, 96), interpolation=cv2.INTER_AREA).astype(int) for frame in made]
    # Seen from afar, given frames are what they were, and what is between them has moved halfway.
    assert all(np.abs(back[2 * k] - turning[k]).mean() < 1 for k in range(3))
    middle = np.roll(start, 1, axis=1).astype(int)[:, 8:-8]
    held = np.abs(turning[0].astype(int)[:, 8:-8] - middle).mean()
    assert np.abs(back[1][:, 8:-8] - middle).mean() < 0.5 * held
