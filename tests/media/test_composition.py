"""Captions in the picture and two takes in one: what is laid over stays where it belongs and no frame is lost."""

from __future__ import annotations

import numpy as np
import pytest

from tests.media.clip_views import HOSTILE, clip_view, grey
from tv2tv_core.media.composition import captioned, pictures, side_by_side

SIZE = (160, 96)


@pytest.mark.parametrize("chunks", [1, 2, 5, 18])
def test_captions_change_the_bottom_of_the_frames_that_have_one(chunks: int) -> None:
    view = clip_view((["", "run forward", "jump"] * 6)[:chunks], size=SIZE)
    pairs = list(zip(pictures(view, 2), captioned(view, 2), strict=True))
    assert len(pairs) == 4 * chunks
    for number, (bare, shown) in enumerate(pairs):
        assert shown.shape == (192, 320, 3) and shown.dtype == np.uint8
        assert (bare == grey(number)).all() and (shown[:96] == bare[:96]).all()
        if number // 4 % 3:
            assert shown[96:].max() > 230 and shown[96:].min() < grey(number)
        else:
            assert (shown == bare).all()


@pytest.mark.parametrize("scale", [1, 8])
def test_captions_fit_whatever_they_say(scale: int) -> None:
    view = clip_view(HOSTILE, size=SIZE)
    for number, shown in enumerate(captioned(view, scale)):
        changed = np.argwhere((shown != grey(number)).any(axis=-1))
        top, left = changed.min(axis=0)
        bottom, right = changed.max(axis=0)
        assert top > 40 * scale and bottom < 96 * scale - 1 and left > 0 and right < 160 * scale - 1


def test_two_takes_run_in_step_and_the_shorter_one_waits_dimmed() -> None:
    left, right = clip_view(["run"] * 4, size=SIZE, name="Take 1"), clip_view(["jump"] * 2, size=SIZE, name="Take 2")
    found = list(side_by_side(left, right, 2, captions=False))
    assert len(found) == 16
    height, width = found[0].shape[:2]
    assert width >= 2 * 320 and height > 192 and width % 2 == height % 2 == 0
    for number, picture in enumerate(found):
        assert (picture[-192:, :320] == grey(number)).all()
        other = picture[-192:, -320:]
        if number < 8:
            assert (other == grey(number)).all()
        else:
            assert (other == other[0, 0]).all() and 0 < other[0, 0, 0] < grey(7) * 0.6
        assert (picture[:-192] == found[0][:-192]).all()


def test_each_take_has_its_name_above_and_its_own_captions() -> None:
    left, right = clip_view(["run"] * 2, size=SIZE, name="Take 1"), clip_view([""], size=SIZE, name="x" * 300)
    for number, picture in enumerate(side_by_side(left, right, 2, captions=True)):
        band = picture[:-192]
        assert band[:, :320].max() > 200 and band[:, -320:].max() > 200
        assert (band[:, 320:328] == band[0, 320]).all()  # a long name stays in its half
        assert picture[-96:, :320].max() > 230
        assert picture[-96:, -320:].max() == (grey(number) if number < 4 else int(grey(3) * 0.4))


def test_sides_swap() -> None:
    short, long = clip_view(["a"], size=SIZE), clip_view(["b"] * 3, size=SIZE)
    assert len(list(side_by_side(short, long, 1, False))) == len(list(side_by_side(long, short, 1, False))) == 12
