"""A whole plan as text: what is written is read again, and what cannot be read is left out."""

from __future__ import annotations

import random
from itertools import pairwise

import pytest

from tv2tv_core.whole_plan import PLAN_CHUNKS, read_plan, write_plan

LINES = ("run forward", "stand, turn left 15", "walk back, fire")


@pytest.mark.parametrize("seed", range(8))
def test_what_is_written_is_read_again(seed: int) -> None:
    rng = random.Random(seed)
    lines = [rng.choice(LINES) for _ in range(rng.randint(1, PLAN_CHUNKS))]
    text = write_plan(lines)
    assert read_plan(text, len(lines)) == (lines, 0)
    changes = 1 + sum(a != b for a, b in pairwise(lines))
    assert len(text.split("\n")) == changes


def test_a_line_holds_until_the_next_row() -> None:
    assert read_plan("2: run forward\n4: stand", 6) == ([None, *["run forward"] * 2, *["stand"] * 3], 0)
    assert read_plan("1: stand\n9: run forward", 4) == (["stand"] * 4, 0)
    assert read_plan("", 3) == ([None] * 3, 0)


@pytest.mark.parametrize("row", ["dance wildly", "3 run forward", "x: stand", "1: run forward", "4: dance wildly", "0: stand"])
def test_a_row_that_cannot_be_read_changes_nothing(row: str) -> None:
    assert read_plan(f"1: stand\n{row}\n5: walk back", 6) == ([*["stand"] * 4, *["walk back"] * 2], 1)
