"""Drive mode: the controls that a person holds → the plan line of the next chunk."""

from __future__ import annotations

import time
from collections.abc import Iterable

from tv2tv_core.plan import WEAPONS, Action, to_line

TURN = 15
"""Degrees per chunk while a turn key is held: about 66 degrees per second."""
LOOK = 10
HELD_S = 1.5
"""Keys count as released when the browser has been silent for so long: its tab may be gone."""
CONTROLS = frozenset(
    {"forward", "back", "left", "right", "run", "turn_left", "turn_right", "look_up", "look_down", "jump", "crouch"}
    | {"fire", "use"}
    | {f"weapon_{slot}" for slot in range(1, len(WEAPONS) + 1)}
)


def line_of(held: Iterable[str]) -> str:
    """The plan line of the controls held; opposite ones cancel each other, unknown ones count for nothing."""
    keys = CONTROLS.intersection(held)
    forward = ("forward" in keys) - ("back" in keys)
    strafe = ("left" in keys) - ("right" in keys)
    turn = ("turn_left" in keys) - ("turn_right" in keys)
    look = ("look_up" in keys) - ("look_down" in keys)
    slots = sorted(int(key.removeprefix("weapon_")) for key in keys if key.startswith("weapon_"))
    return to_line(
        Action(
            forward=forward,
            strafe=strafe,
            run="run" in keys and bool(forward or strafe),
            turn=turn * TURN,
            look=look * LOOK,
            jump="jump" in keys,
            crouch="crouch" in keys,
            weapon=WEAPONS[slots[0] - 1] if slots else None,
            fire="fire" in keys,
            use="use" in keys,
        )
    )


class Wheel:
    """What is held right now. Set from one thread, read from another; a key tapped between two readings still counts."""

    def __init__(self) -> None:
        self._held: frozenset[str] = frozenset()
        self._tapped: frozenset[str] = frozenset()
        self._heard = time.monotonic()

    def hold(self, controls: Iterable[str]) -> None:
        """Everything that is held from now on."""
        self._held = CONTROLS.intersection(control for control in controls if isinstance(control, str))
        self._tapped |= self._held
        self._heard = time.monotonic()

    def line(self) -> str:
        """The line for the next chunk; forgets what was only tapped."""
        alive = time.monotonic() - self._heard < HELD_S
        keys = (self._held | self._tapped) if alive else frozenset()
        self._tapped = frozenset()
        return line_of(keys)
