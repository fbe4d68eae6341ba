"""Held controls → a plan line that the model was trained on."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from app import drive
from tv2tv_core.plan import is_canonical


@pytest.mark.parametrize(
    ("held", "line"),
    [
        ([], "stand"),
        (["forward"], "walk forward"),
        (["forward", "run", "turn_left"], "run forward, turn left 15"),
        (["forward", "back"], "stand"),
        (["left", "right", "fire"], "stand, fire"),
        (["run"], "stand"),
        (["back", "right", "jump", "weapon_3"], "walk back strafe right, jump, switch to shotgun"),
        (["weapon_9", "<b>", "fire"], "stand, fire"),
    ],
)
def test_the_line_of_what_is_held(held: list[str], line: str):
    assert drive.line_of(held) == line


@given(st.sets(st.sampled_from(sorted(drive.CONTROLS))))
def test_whatever_is_held_the_line_is_canonical(held: set[str]):
    assert is_canonical(drive.line_of(held))


def test_a_tap_between_two_readings_counts_once():
    wheel = drive.Wheel()
    wheel.hold(["fire"])
    wheel.hold([])
    assert wheel.line() == "stand, fire"
    assert wheel.line() == "stand"
    wheel.hold(["forward"])
    assert [wheel.line(), wheel.line()] == ["walk forward", "walk forward"]


def test_a_browser_that_has_fallen_silent_holds_nothing(monkeypatch: pytest.MonkeyPatch):
    wheel = drive.Wheel()
    wheel.hold(["forward"])
    monkeypatch.setattr(drive, "HELD_S", -1.0)
    assert wheel.line() == "stand"
