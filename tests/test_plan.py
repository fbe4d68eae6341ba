"""Plan lines: one canonical line per action, a tolerant reader, and paraphrases that keep their meaning."""

import itertools
import random

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from tv2tv_core import plan_phrases
from tv2tv_core.errors import InputError
from tv2tv_core.plan import (
    LOOKS,
    MAX_LENGTH,
    TURNS,
    WEAPONS,
    Action,
    PlanError,
    is_canonical,
    paraphrase,
    parse,
    to_line,
)

MOVES = [(f, s, r) for f, s, r in itertools.product((-1, 0, 1), (-1, 0, 1), (False, True)) if not r or f or s]
SIGNED_TURNS = [sign * turn for turn in TURNS for sign in (1, -1)]
SIGNED_LOOKS = [sign * look for look in LOOKS for sign in (1, -1)]


@st.composite
def actions(draw: st.DrawFn) -> Action:
    forward, strafe, run = draw(st.sampled_from(MOVES))
    flags = {name: draw(st.booleans()) for name in ("jump", "crouch", "fire", "use")}
    turn, look = draw(st.sampled_from([0, *SIGNED_TURNS])), draw(st.sampled_from([0, *SIGNED_LOOKS]))
    return Action(forward, strafe, run, turn, look, weapon=draw(st.sampled_from([None, *WEAPONS])), **flags)


def every_single_control() -> list[Action]:
    found = [Action(f, s, r) for f, s, r in MOVES]
    found += [Action(turn=turn) for turn in SIGNED_TURNS] + [Action(look=look) for look in SIGNED_LOOKS]
    found += [Action(weapon=weapon) for weapon in WEAPONS]
    return found + [Action(**{name: True}) for name in ("jump", "crouch", "fire", "use")]


@given(actions())
@settings(max_examples=500, deadline=None)
def test_a_canonical_line_and_its_action_are_one_to_one(action: Action) -> None:
    line = to_line(action)
    assert parse(line) == action
    assert is_canonical(line) and len(line) <= MAX_LENGTH


def test_the_lines_of_different_single_controls_differ() -> None:
    singles = every_single_control()
    assert len({to_line(action) for action in singles}) == len(set(singles))


@pytest.mark.parametrize(
    ("action", "line"),
    [
        (Action(forward=1, run=True, turn=15), "run forward, turn left 15"),
        (Action(strafe=1, fire=True), "walk strafe left, fire"),
        (Action(turn=-45, use=True), "stand, turn right 45, use"),
        (
            Action(1, -1, True, look=10, jump=True, weapon="shotgun", fire=True),
            "run forward strafe right, look up 10, jump, switch to shotgun, fire",
        ),
        (Action(-1, look=-5, crouch=True, weapon="bfg"), "walk back, look down 5, crouch, switch to bfg"),
        (Action(), "stand"),
    ],
)
def test_the_grammar_is_the_documented_one(action: Action, line: str) -> None:
    assert to_line(action) == line


@pytest.mark.parametrize(
    ("typed", "line"),
    [
        ("  RUN   Forward ,Turn LEFT 15 ", "run forward, turn left 15"),
        ("shoot!", "stand, fire"),
        ("turn left", "stand, turn left 15"),
        ("look up", "stand, look up 15"),
        ("duck and shoot", "stand, crouch, fire"),
        ("rotate left 30, go forward", "walk forward, turn left 30"),
        ("go backward", "walk back"),
        ("sprint", "run forward"),
        ("run left", "run strafe left"),
        ("rotate 45 degrees to the left", "stand, turn left 45"),
        ("turn right forty-five", "stand, turn right 45"),
        ("sprint ahead and swing left", "run forward, turn left 15"),
        ("hold still and look up a bit", "stand, look up 10"),
        ("back up while strafing right", "walk back strafe right"),
        ("turn slightly left", "stand, turn left 5"),
        ("turn left and slightly look down", "stand, turn left 15, look down 5"),
        ("look up and left 10", "stand, turn left 10, look up 15"),
        ("look left", "stand, turn left 15"),
        ("fire the shotgun", "stand, switch to shotgun, fire"),
        ("use the pistol", "stand, switch to pistol"),
        ("switch to weapon 4", "stand, switch to chaingun"),
        ("open the door, walk", "walk forward, use"),
        ("go fast", "run forward"),
        ("fire, jump, run forward", "run forward, jump, fire"),
        ("turn left ４５", "stand, turn left 45"),
    ],
)
def test_what_people_type_is_read(typed: str, line: str) -> None:
    assert to_line(parse(typed)) == line
    assert not is_canonical(typed)


@pytest.mark.parametrize(
    ("typed", "named"),
    [
        ("", "empty"),
        (" \n", "empty"),
        ("turn left 37", "37"),
        ("turn left -15", "-15"),
        ("turn left 15.5", "15.5"),
        ("look up 45", "5, 10, 15 or 20"),
        ("turn right 90", "5, 10, 15, 20, 25, 30, 45 or 60"),
        ("turn around", "60"),
        ("stop shooting", "leave out"),
        ("run forward, don't fire", "leave out"),
        ("turn left 15, turn right 15", "contradicts"),
        ("run forward, walk back", "contradicts"),
        ("stand, run forward", "standing and moving"),
        ("turn", "left or right"),
        ("look 10", "up or down"),
        ("strafe", "strafe left"),
        ("left", "turn left"),
        ("walk up", "look up"),
        ("run 15", "15"),
        ("switch to railgun", "railgun"),
        ("switch to", "rocket launcher"),
        ("switch to 9", "rocket launcher"),
        ("dance", "dance"),
        ("please", "please"),
        ("run forward\x00", "control characters"),
        ("run\nforward", "control characters"),
        ("run \u202eforward", "control characters"),
        ("run forward, " * 40, "at most 200"),
    ],
)
def test_what_cannot_be_read_is_refused_and_named(typed: str, named: str) -> None:
    with pytest.raises(PlanError) as caught:
        parse(typed)
    assert named in str(caught.value) and "\n" not in str(caught.value)
    assert isinstance(caught.value, InputError) and not is_canonical(typed)


WORDS = sorted({word for phrase in plan_phrases.TURN + plan_phrases.LOOK + plan_phrases.USE for word in phrase.split()})
WORDS += ["left", "up", "15", "-1", "9" * 60, "switch to", "run", ",", "a bit", "ﷺ", "°"]
HOSTILE = st.text(max_size=220) | st.lists(st.sampled_from(WORDS), max_size=40).map(" ".join)


@given(HOSTILE)
@settings(max_examples=500, deadline=None)
def test_any_text_is_read_or_refused_with_a_short_line(text: str) -> None:
    try:
        action = parse(text)
    except PlanError as error:
        assert 20 < len(str(error)) < 400
    else:
        assert parse(to_line(action)) == action


@pytest.mark.parametrize("value", [None, 3, b"run", ["run"]])
def test_what_is_no_text_is_refused(value: object) -> None:
    with pytest.raises(PlanError):
        parse(value)


@pytest.mark.parametrize(
    "fields",
    [
        {"run": True},
        {"forward": 2},
        {"forward": True},
        {"turn": 35},
        {"turn": 15.0},
        {"turn": True},
        {"look": 25},
        {"weapon": "railgun"},
        {"weapon": ["pistol"]},
        {"fire": 1},
    ],
)
def test_an_action_outside_its_ranges_cannot_be_made(fields: dict) -> None:
    with pytest.raises(PlanError):
        Action(**fields)


def test_the_slots_are_the_weapon_keys() -> None:
    assert [Action(weapon=weapon).slot for weapon in WEAPONS] == [1, 2, 3, 4, 5, 6, 7]
    assert Action().slot is None


@given(actions(), st.integers(0, 2**32), st.booleans())
@settings(max_examples=1000, deadline=None)
def test_a_paraphrase_keeps_its_meaning(action: Action, seed: int, held_out: bool) -> None:
    line = paraphrase(action, random.Random(seed), held_out)
    assert parse(line) == action, line
    assert len(line) <= MAX_LENGTH
    assert line == paraphrase(action, random.Random(seed), held_out)


@pytest.mark.parametrize("held_out", [False, True])
def test_every_control_has_several_wordings(held_out: bool) -> None:
    rng = random.Random(0)
    for action in every_single_control():
        wordings = {paraphrase(action, rng, held_out) for _ in range(100)}
        assert len(wordings) >= 4, to_line(action)
        assert all(parse(line) == action for line in wordings)


def test_no_held_out_wording_is_ever_said_in_training() -> None:
    rng = random.Random(0)
    said = {part: set() for part in (False, True)}
    for part, _, action in itertools.product((False, True), range(150), every_single_control()):
        if action != Action(turn=action.turn) and action != Action(look=action.look):
            said[part].add(paraphrase(action, rng, part).lower().strip(".!"))
    assert len(said[True]) > 100 and not said[True] & said[False]


def test_the_held_out_phrases_and_templates_are_disjoint_from_those_for_training() -> None:
    pairs = [plan_phrases.TEMPLATES, plan_phrases.MEANWHILE, plan_phrases.SAY_STAND, plan_phrases.SAY_DIAGONAL]
    pairs += [plan_phrases.SAY_TURN, plan_phrases.SAY_TURN_PLAIN, plan_phrases.SAY_LOOK, plan_phrases.SAY_LOOK_PLAIN]
    pairs += [plan_phrases.SAY_WEAPON, *plan_phrases.SAY_FLAG.values()]
    pairs += [*plan_phrases.SAY_MOVE.values(), *plan_phrases.SAY_STRAFE.values()]
    pairs += [*plan_phrases.SAY_MOVE_BRIEFLY.values()]
    for train, held_out in pairs:
        assert train and held_out and not set(train) & set(held_out)
    for train, held_out in (plan_phrases.SAY_TURN_AMOUNT, plan_phrases.SAY_LOOK_AMOUNT):
        assert not set(train.values()) & set(held_out.values())


def test_the_pace_of_a_movement_is_heard_in_every_wording() -> None:
    rng = random.Random(1)
    for forward, strafe, _ in (move for move in MOVES if move[2]):
        walks, runs = (
            {paraphrase(Action(forward, strafe, run), rng, part) for part in (False, True) for _ in range(30)}
            for run in (False, True)
        )
        assert not walks & runs


def test_the_longest_requests_still_fit_into_a_plan_line() -> None:
    rng = random.Random(2)
    everything = Action(1, -1, True, -60, -20, True, True, "rocket launcher", True, True)
    lines = [paraphrase(everything, rng, part) for part in (False, True) for _ in range(1000)]
    assert max(len(line) for line in lines) <= MAX_LENGTH and all(parse(line) == everything for line in lines)
