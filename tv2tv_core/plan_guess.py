"""How a plan line that has begun most likely goes on: a guess that saves a model passes when it is right, and costs little.

The order of the words is that of how often they are played; what the grammar leaves open is filled with the first that fits.
"""

from __future__ import annotations

from functools import lru_cache

from tv2tv_core.plan import WEAPONS

_WAYS = ("forward", "back", "strafe left", "strafe right", "forward strafe left", "forward strafe right",
         "back strafe left", "back strafe right")
_MOVES = ("run forward", "stand", "walk forward", *(f"{pace} {way}" for pace in ("run", "walk") for way in _WAYS))
_USUAL = "turn left 15"  # most lines turn
_PARTS = (
    _USUAL,
    *(f"turn {side} {size}" for size in (15, 10, 20, 30, 45, 5, 25, 60) for side in ("left", "right")),
    *(f"look {way} {size}" for size in (5, 10, 15, 20) for way in ("up", "down")),
    "fire", "jump", "use", "crouch", *(f"switch to {name}" for name in WEAPONS),
)  # fmt: skip
_ORDER = ("turn", "look", "jump", "crouch", "switch", "fire", "use")  # as the grammar wants them, behind the move


@lru_cache(maxsize=1024)
def whole_line(begun: str) -> str:
    """A canonical plan line that begins with `begun`, or `begun` itself where the grammar knows none."""
    *done, last = (begun + " " if begun.endswith(",") else begun).split(", ")
    if not done:
        move = next((move for move in _MOVES if move.startswith(last)), None)
        return begun if move is None else f"{move}, {_USUAL}"
    part = next((part for part in _PARTS if part.startswith(last) and _place(part) > _place(done[-1])), None)
    return begun if part is None else ", ".join([*done, part])


def _place(part: str) -> int:
    kind = part.split(" ")[0]
    return _ORDER.index(kind) if kind in _ORDER else -1
