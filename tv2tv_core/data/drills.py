"""Short exercises that a recording bot mixes into its play, so that every verb of the plan language is well seen."""
import numpy as np

from tv2tv_core.plan import Action

_TURN_SHARE = {5: 0.18, 10: 0.15, 15: 0.12, 20: 0.10, 25: 0.10, 30: 0.12, 45: 0.18, 60: 0.05}
_KINDS = {"turn": 0.14, "strafe": 0.18, "back": 0.08, "stand": 0.02, "jump": 0.09, "crouch": 0.07, "look": 0.12,
          "weapon": 0.17, "fire": 0.11, "use": 0.02}


def drill(rng: np.random.Generator, weapon: str) -> list[Action]:
    """1 to 9 chunks of practice of one verb; weapon: the one to switch to where the exercise wants that."""
    kind = str(rng.choice(list(_KINDS), p=list(_KINDS.values())))
    side = int(rng.choice((-1, 1)))
    run = bool(rng.random() < 0.6)
    hold = int(rng.integers(1, 5))
    return _EXERCISES[kind](rng, side, run, hold) if kind != "weapon" else _weapon(rng, weapon)


def _turn(rng: np.random.Generator, side: int, run: bool, hold: int) -> list[Action]:
    size = int(rng.choice(list(_TURN_SHARE), p=list(_TURN_SHARE.values())))
    act = Action(turn=side * size)
    return [act] * min(max(hold, 2 if size < 45 else 1), 150 // size, 5)


def _strafe(rng: np.random.Generator, side: int, run: bool, hold: int) -> list[Action]:
    roll = rng.random()
    turn = -side * int(rng.choice((5, 10, 15))) if roll < 0.25 else 0
    forward = int(rng.choice((1, -1), p=(0.8, 0.2))) if 0.25 <= roll < 0.45 else 0
    look = int(rng.choice((5, -5, 10, -10))) if roll > 0.92 else 0
    return [Action(forward=forward, strafe=side, run=run, turn=turn, look=look)] + \
        [Action(forward=forward, strafe=side, run=run, turn=turn)] * (hold - 1)


def _back(rng: np.random.Generator, side: int, run: bool, hold: int) -> list[Action]:
    turn = side * int(rng.choice((5, 10, 15))) if rng.random() < 0.2 else 0
    return [Action(forward=-1, run=run, turn=turn)] * hold


def _stand(rng: np.random.Generator, side: int, run: bool, hold: int) -> list[Action]:
    return [Action()] * min(hold, 3)


def _jump(rng: np.random.Generator, side: int, run: bool, hold: int) -> list[Action]:
    roll = rng.random()
    if roll < 0.3:
        return [Action(jump=True)] * min(hold, 2)
    if roll < 0.45:
        return [Action(strafe=side, run=run, jump=True)] * min(hold, 2)
    return [Action(forward=1, run=run, jump=True)] * min(hold, 3)


def _crouch(rng: np.random.Generator, side: int, run: bool, hold: int) -> list[Action]:
    roll = rng.random()
    if roll < 0.3:
        return [Action(crouch=True)] * min(hold, 3)
    if roll < 0.45:
        return [Action(crouch=True, turn=side * int(rng.choice((5, 10, 15))))] * hold
    if roll < 0.55:
        return [Action(strafe=side, crouch=True)] * hold
    return [Action(forward=1, crouch=True)] * (hold + 1)


def _look(rng: np.random.Generator, side: int, run: bool, hold: int) -> list[Action]:
    size = side * int(rng.choice((5, 10, 15, 20)))
    count = 2 if abs(size) <= 10 and rng.random() < 0.5 else 1
    base = {"forward": 1, "run": run} if rng.random() < 0.35 else {}
    pause = [Action(**base)] * int(rng.integers(0, 2))
    return [Action(**base, look=size)] * count + pause + [Action(**base, look=-size)] * count


def _weapon(rng: np.random.Generator, weapon: str) -> list[Action]:
    base = {"forward": 1, "run": True} if rng.random() < 0.45 else {}
    # A change of weapon takes four chunks; who holds the line for all of them changes only once.
    held, after = int(rng.integers(1, 5)), int(rng.integers(0, 4))
    plan = [Action(**base, weapon=weapon)] * held + [Action(**base)] * after
    return plan + ([Action(**base, fire=True)] * int(rng.integers(1, 3)) if rng.random() < 0.4 else [])


def _fire(rng: np.random.Generator, side: int, run: bool, hold: int) -> list[Action]:
    base = {"forward": 1, "run": run} if rng.random() < 0.35 else {}
    return [Action(**base, fire=True)] * min(hold, 3)


def _use(rng: np.random.Generator, side: int, run: bool, hold: int) -> list[Action]:
    return [Action(use=True), Action()] if rng.random() < 0.6 else [Action(forward=1, use=True)]


_EXERCISES = {"turn": _turn, "strafe": _strafe, "back": _back, "stand": _stand, "jump": _jump, "crouch": _crouch,
              "look": _look, "fire": _fire, "use": _use}
