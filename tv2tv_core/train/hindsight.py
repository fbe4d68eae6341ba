"""Hindsight: what a recorded stretch of play amounts to, as an intent that a person could have written before it."""

from __future__ import annotations

import random
from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np

from tv2tv_core.data.shards import Episode
from tv2tv_core.intent import MAX_PARTS, Part, describe
from tv2tv_core.plan import Action, parse

SHORTEST, LONGEST = 4, 16  # chunks of a stretch
TURNED, AROUND = 30, 135  # degrees of net turn that are worth saying, and that are a turn around
ONE_WAY = 0.75  # net turn over all turning, below which it went to and fro
MOVED = 32  # map units in the direction said; less is pushing at a wall
SHARE = 0.25  # of the chunks in which a movement must be held, and at least two
STILL = 0.75  # of the chunks that make a wait


@dataclass(frozen=True)
class Stretch:
    """Chunks in a row without a cut: what was held, what happened, and map units moved ahead and to the left [n, 2]."""

    actions: Sequence[Action]
    events: Sequence[Sequence[str]]
    moved: np.ndarray


def stretch_of(episode: Episode, first: int, length: int) -> Stretch:
    """The chunks `first` … of an episode, `length` of them or up to the next cut or its end."""
    cuts = np.flatnonzero(episode.cuts[first + 1 : first + length])
    end = min(first + 1 + int(cuts[0]) if len(cuts) else first + length, len(episode))
    poses = episode.poses[max(first - 1, 0) : end, -1].astype(np.float64)
    if first == 0:
        poses = np.concatenate([episode.poses[:1, 0], poses])
    step, yaw = np.diff(poses[:, :2], axis=0), np.radians(poses[:-1, 3])
    ahead = step[:, 0] * np.cos(yaw) + step[:, 1] * np.sin(yaw)
    left = step[:, 1] * np.cos(yaw) - step[:, 0] * np.sin(yaw)
    chunks = episode.chunks[first:end]
    actions = [parse(chunk["line"]) for chunk in chunks]
    return Stretch(actions, [chunk["events"] for chunk in chunks], np.stack([ahead, left], 1))


def parts_of(stretch: Stretch) -> list[Part]:
    """Everything worth saying of a stretch, in the order in which it happens; empty when nothing is."""
    actions = stretch.actions
    found = [*_turns(actions), *_movements(stretch), *_looks(actions), *_fights(stretch)]
    for kind, held, least in (("jump", [a.jump for a in actions], 1), ("crouch", [a.crouch for a in actions], 2)):
        if sum(held) >= least:
            found.append(Part(kind, _when(held)))
    changes = [(at, action.weapon) for at, action in enumerate(actions) if action.weapon]
    if changes:
        found.append(Part("change", float(changes[-1][0]), changes[-1][1]))
    still = [not (a.forward or a.strafe or a.turn) for a in actions]
    if sum(still) >= STILL * len(still):
        found.append(Part("wait", _when(still)))
    return sorted(found, key=lambda part: part.at)


def intent_for(episode: Episode, first: int, rng: random.Random) -> str | None:
    """An intent for the stretch that opens with chunk `first`, as a person might word it; None when there is nothing to say.

    Its length is drawn, short ones more often, and so is how many of the parts are said, from the first on: what is asked for
    is what comes next. Same generator, same intent.
    """
    length = SHORTEST + int((LONGEST - SHORTEST + 1) * rng.random() ** 2)
    stretch = stretch_of(episode, first, length)
    parts = parts_of(stretch) if len(stretch.actions) >= SHORTEST else []
    if not parts:
        return None
    said = parts[: rng.randint(1, min(len(parts), MAX_PARTS))]
    return describe(said, None if rng.random() < 0.5 else rng)


def _turns(actions: Sequence[Action]) -> list[Part]:
    turned = [action.turn for action in actions]
    net, sizes = sum(turned), [abs(turn) for turn in turned]
    if abs(net) < max(TURNED, ONE_WAY * sum(sizes)):
        return []
    return [Part("turn around" if abs(net) >= AROUND else f"turn {'left' if net > 0 else 'right'}", _when(sizes))]


def _movements(stretch: Stretch) -> list[Part]:
    found = []
    held = np.array([(action.forward, action.strafe) for action in stretch.actions])
    least = max(2, SHARE * len(held))
    for axis, way, kind in ((0, 1, "go ahead"), (0, -1, "go back"), (1, 1, "strafe left"), (1, -1, "strafe right")):
        this, other = held[:, axis] == way, held[:, axis] == -way
        if this.sum() >= least and this.sum() >= 2 * other.sum() and way * stretch.moved[:, axis].sum() >= MOVED:
            found.append(Part(kind, _when(this)))
    return found


def _looks(actions: Sequence[Action]) -> list[Part]:
    looked = [action.look for action in actions]
    net = sum(looked)
    return [Part(f"look {'up' if net > 0 else 'down'}", _when([abs(look) for look in looked]))] if abs(net) >= 10 else []


def _fights(stretch: Stretch) -> list[Part]:
    fired = [action.fire for action in stretch.actions]
    if not any(fired):
        return []
    killed = any(event == "kill" for events in stretch.events for event in events)
    return [Part("kill" if killed else "shoot", _when(fired))]


def _when(weights: Sequence[float] | np.ndarray) -> float:
    """The chunk around which something happens."""
    return float(np.average(np.arange(len(weights)), weights=np.asarray(weights, np.float64)))
