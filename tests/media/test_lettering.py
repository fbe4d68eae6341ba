"""Text in pictures: rows fit, nothing is lost without a sign, and letters of many scripts have a shape."""

from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from tests.media.clip_views import HOSTILE
from tv2tv_core.media.captions import plain
from tv2tv_core.media.lettering import draw_text, text_width, wrap


def drawn(text: str) -> np.ndarray:
    image = np.zeros((40, 400, 3), np.uint8)
    draw_text(image, text, 4, 28, 22, (255, 255, 255))
    return image


@pytest.mark.parametrize("text", HOSTILE)
@pytest.mark.parametrize("width", [60, 150, 600])
def test_rows_are_no_wider_than_asked(text: str, width: int) -> None:
    rows = wrap(text, width, 14, most=50)
    assert all(text_width(row, 14) <= width + 2 for row in rows)
    assert "".join(rows).replace(" ", "") == plain(text).replace(" ", "")


@settings(max_examples=60)
@given(text=st.text(max_size=120), width=st.integers(40, 300), most=st.integers(1, 4))
def test_what_is_cut_ends_in_a_sign(text: str, width: int, most: int) -> None:
    rows = wrap(text, width, 12, most)
    assert len(rows) <= most and all(rows)
    whole = "".join(rows).replace(" ", "") == plain(text).replace(" ", "")
    assert whole or rows[-1].endswith("…")


def test_words_stay_whole_where_they_fit() -> None:
    rows = wrap("run forward and turn left", 120, 14, 9)
    assert len(rows) > 1 and " ".join(rows) == "run forward and turn left"
    assert wrap("", 100, 14, 3) == [] and wrap("jump", 100, 14, 1) == ["jump"]


def test_letters_of_many_scripts_have_a_shape_of_their_own() -> None:
    missing = drawn("?")
    for text in ("a", "é", "Ж", "Ω", "ש", "ع", "漢", "か", "한", "€", "→"):
        assert drawn(text).any() and not np.array_equal(drawn(text), missing), text
    # No font has this one: it is shown as missing, not left out.
    assert np.array_equal(drawn("\U0001f600"), missing)
