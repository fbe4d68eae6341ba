"""Guesses of plan lines: canonical, and true to what was begun."""

from __future__ import annotations

from tv2tv_core.plan import Action, is_canonical, to_line
from tv2tv_core.plan_guess import whole_line

LINES = [to_line(action) for action in (
    Action(), Action(forward=1, run=True, turn=15), Action(strafe=-1, turn=-5, look=10, fire=True), Action(turn=25, jump=True),
    Action(forward=-1, strafe=1, look=-20, weapon="rocket launcher"), Action(crouch=True, use=True))]


def test_a_guess_begins_as_told_and_is_a_line() -> None:
    for line in LINES:
        for end in range(1, len(line) + 1):
            guess = whole_line(line[:end])
            assert guess.startswith(line[:end]) and is_canonical(guess), line[:end]


def test_a_part_that_has_begun_is_guessed_whole() -> None:
    assert whole_line("stand, switch to ro") == "stand, switch to rocket launcher"
    assert whole_line("walk back, turn left 2") == "walk back, turn left 20"
    assert whole_line("run") == "run forward, turn left 15"


def test_what_is_no_plan_line_is_left_alone() -> None:
    for begun in ("over there", "run forward, sing", "x,", ""):
        assert whole_line(begun).startswith(begun)
    assert whole_line("over there") == "over there"
