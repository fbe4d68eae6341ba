"""Intents: what is a row of a plan and what an intent, and the words in which intents are said."""

from __future__ import annotations

import random

import pytest

from tv2tv_core import intent_phrases, plan_phrases
from tv2tv_core.engine.generate import check_line
from tv2tv_core.errors import InputError
from tv2tv_core.intent import MAX_PARTS, PREFIX, Part, as_read, describe, row, text_of
from tv2tv_core.intent_phrases import SAY
from tv2tv_core.plan import MAX_LENGTH, PlanError, parse


@pytest.mark.parametrize("typed", ["intent: turn right", "Intent:turn right", "  INTENT:   turn right  "])
def test_a_row_with_the_prefix_is_an_intent_however_it_is_typed(typed: str) -> None:
    assert text_of(typed) == "turn right"
    assert check_line(typed) == row("turn right") == "intent: turn right"
    assert as_read("turn right") == "intent: turn right\n"


@pytest.mark.parametrize("typed", ["run forward", "", "the intent: clear", "intent", None])
def test_other_rows_are_none(typed: str | None) -> None:
    assert text_of(typed) is None


def test_an_intent_is_never_a_plan_line() -> None:
    with pytest.raises(PlanError):
        parse(row("run forward"))


@pytest.mark.parametrize("typed", ["intent:", "intent:   ", "intent: " + "x" * MAX_LENGTH, "intent: a\nb"])
def test_what_cannot_be_an_intent_is_refused(typed: str) -> None:
    with pytest.raises(InputError):
        check_line(typed)


def test_parts_are_said_in_order_and_the_joint_tells_whether_at_once() -> None:
    shoot, ahead, right = Part("shoot", 9), Part("go ahead", 3), Part("turn right", 2)
    assert describe([shoot, ahead, right]) == "turn right and go ahead, then shoot"
    assert describe([Part("change", 0, "shotgun")]) == "change to the shotgun"
    for wrong in ([], [shoot] * (MAX_PARTS + 1)):
        with pytest.raises(ValueError, match="parts"):
            describe(wrong)


def test_the_same_generator_says_the_same_and_others_say_it_otherwise() -> None:
    parts = [Part("turn left", 0), Part("change", 4, "chaingun")]
    said = [describe(parts, random.Random(seed)) for seed in range(40)]
    assert said == [describe(parts, random.Random(seed)) for seed in range(40)] and len(set(said)) > 20
    assert all("chaingun" in one for one in said)


@pytest.mark.parametrize("kind", SAY)
def test_every_kind_fits_a_row_and_has_words_of_its_own(kind: str) -> None:
    train, held_out = SAY[kind]
    others = {text for name, both in SAY.items() if name != kind for words in both for text in words}
    assert not others & {*train, *held_out} and len({*train, *held_out}) == len(train) + len(held_out)
    longest = describe([Part(kind, at, "rocket launcher") for at in (0, 1, 9)], random.Random(0), held_out=True)
    assert len(check_line(PREFIX + longest)) <= MAX_LENGTH


def test_training_never_shows_a_held_out_word() -> None:
    """Neither those of intents nor those of plan lines."""
    seen = {word for train, _ in SAY.values() for text in train for word in text.split()}
    kept = {word for _, held in SAY.values() for text in held for word in text.split()}
    ways = [*plan_phrases.SAY_FLAG.values(), plan_phrases.SAY_TURN_PLAIN, plan_phrases.SAY_LOOK_PLAIN, plan_phrases.SAY_WEAPON]
    for _, held in ways:
        kept |= {word for text in held for word in text.split()}
    for tables in (plan_phrases.SAY_MOVE, plan_phrases.SAY_STRAFE):
        kept |= {word for _, held in tables.values() for text, _ in held for word in text.split()}
    common = {word for train, held in [*SAY.values(), *ways] for text in train for word in text.split()
              if any(word in other.split() for other in held)}  # left, the, up and the like, which both sides need
    plain = {"to", "the", "left", "right", "{side}", "{direction}", "{weapon}", "up", "down", "your", "gun", "in", "an"}
    assert not (kept & seen) - common - plain
    for table in (intent_phrases.TOGETHER, intent_phrases.AFTER, intent_phrases.AROUND):
        assert not set(table[0]) & set(table[1])
