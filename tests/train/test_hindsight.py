"""Hindsight: what is said of a stretch is what happened in it, in order, and the same for the same generator."""

from __future__ import annotations

import random
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest

from tests.train.footage_files import write_episode
from tv2tv_core.data.shards import Episode
from tv2tv_core.intent import MAX_PARTS, describe, text_of
from tv2tv_core.plan import parse
from tv2tv_core.train.hindsight import Stretch, intent_for, parts_of, stretch_of


def stretch(*rows: tuple[str, int], events: tuple[str, ...] = (), free: bool = True) -> Stretch:
    """Each line held for so many chunks; whoever moves gets on by 60 map units a chunk unless a wall is in the way."""
    actions = [parse(line) for line, count in rows for _ in range(count)]
    moved = np.array([(60.0 * a.forward * free, 60.0 * a.strafe * free) for a in actions])
    return Stretch(actions, [list(events)] + [[] for _ in actions[1:]], moved)


@pytest.mark.parametrize(("rows", "said"), [
    ([("stand, turn right 30", 3), ("run forward", 4), ("stand, fire", 3)], "turn right, then go ahead, then shoot"),
    ([("run forward, turn left 15", 4)], "turn left and go ahead"),
    ([("stand, turn left 45", 4)], "turn around"),
    ([("run back", 4)], "go back"),
    ([("walk strafe left", 3), ("run strafe right", 1), ("stand", 3)], "strafe left"),
    ([("run strafe right", 4), ("stand, jump", 1)], "strafe right, then jump"),
    ([("stand, switch to chaingun", 1), ("stand", 7)], "change to the chaingun, then wait"),
    ([("stand, crouch", 4), ("run forward", 4)], "crouch, then go ahead"),
    ([("stand, look up 15", 1), ("run forward", 4), ("stand, turn right 15", 3)], "look up, then go ahead, then turn right"),
    ([("stand", 6)], "wait"),
])  # fmt: skip
def test_a_stretch_is_told_as_it_happened(rows: list[tuple[str, int]], said: str) -> None:
    assert describe(parts_of(stretch(*rows))[:MAX_PARTS]) == said


def test_a_shot_that_kills_is_told_so() -> None:
    fight = [("stand, fire", 2), ("run forward", 3)]
    assert describe(parts_of(stretch(*fight, events=("hit", "kill")))) == "kill an enemy, then go ahead"
    assert describe(parts_of(stretch(*fight, events=("hurt 5",)))) == "shoot, then go ahead"


@pytest.mark.parametrize("rows", [
    [("stand, turn left 30", 3), ("stand, turn right 30", 3)],  # to and fro
    [("stand, turn left 5", 3), ("stand, turn left 10", 1)],  # too little
    [("stand, look up 5", 1), ("stand, look down 5", 1), ("stand, turn left 5", 3), ("stand, turn right 5", 3)],
])  # fmt: skip
def test_what_comes_to_nothing_is_not_told(rows: list[tuple[str, int]]) -> None:
    assert parts_of(stretch(*rows)) == []


def test_pushing_at_a_wall_is_no_movement() -> None:
    assert [part.kind for part in parts_of(stretch(("run forward", 6)))] == ["go ahead"]
    assert parts_of(stretch(("run forward", 6), free=False)) == []


def test_left_and_right_follow_the_plan_lines() -> None:
    one = stretch(("run strafe left, turn right 30", 5))
    other = Stretch([replace(a, strafe=-a.strafe, turn=-a.turn) for a in one.actions], one.events, one.moved * (1, -1))
    names = {"left": "right", "right": "left"}
    swapped = [" ".join(names.get(word, word) for word in part.kind.split()) for part in parts_of(other)]
    assert sorted(swapped) == sorted(part.kind for part in parts_of(one)) != sorted(part.kind for part in parts_of(other))


def test_a_stretch_ends_at_a_cut_and_moves_as_the_camera_sees_it(tmp_path: Path) -> None:
    episode = Episode(write_episode(tmp_path, "train", "a", cut_at=7))
    for at, chunk in enumerate(episode.chunks):  # ten units east a chunk, while the camera looks north
        chunk["pose"] = [[10.0 * at + 10 * (k + 1) / 4, 0, 0, 90, 0] for k in range(4)]
    found = stretch_of(episode, 2, 16)
    assert len(found.actions) == len(found.events) == 5
    assert np.allclose(found.moved, [(0, -10)] * 5, atol=1e-3)
    assert len(stretch_of(episode, 0, 4).moved) == 4 and len(stretch_of(episode, 9, 16).actions) == 3


def test_the_same_generator_gives_the_same_intent(tmp_path: Path) -> None:
    episode = Episode(write_episode(tmp_path, "train", "a", chunks=40))
    told = [intent_for(episode, seed % 20, random.Random(seed)) for seed in range(60)]
    assert told == [intent_for(episode, seed % 20, random.Random(seed)) for seed in range(60)]
    assert len({one for one in told if one}) > 5 and all(text_of(one) is None for one in told)
    assert intent_for(episode, 38, random.Random(0)) is None  # too short to be worth an intent
