"""Plan lines in natural language: writes the many ways in which people would ask for one chunk's controls.

The wordings are tables in `plan_phrases`; `plan.parse` reads every line written here back to the same action.
"""

from __future__ import annotations

import random
from typing import TYPE_CHECKING

from tv2tv_core import plan_phrases as words

if TYPE_CHECKING:
    from tv2tv_core.plan import Action


def paraphrase(action: Action, rng: random.Random, held_out: bool = False) -> str:
    """A line in natural language that means `action`: `parse(paraphrase(action, rng)) == action`.

    The amount of a turn or look is always said unless it is 15. With `held_out` it uses templates and phrases that the
    other lines never use; they are for testing alone. At most `plan.MAX_LENGTH` characters.
    """
    line = _written(action, rng, int(held_out))
    while len(line) > words.MAX_LENGTH:  # only with nearly every control at once, and then rarely
        line = _written(action, rng, int(held_out))
    return line


def _written(action: Action, rng: random.Random, part: int) -> str:
    angles = (_say_angle("turn", action.turn, rng, part), _say_angle("look", action.look, rng, part))
    parts = [text for text in angles if text]
    parts += [rng.choice(phrases[part]) for name, phrases in words.SAY_FLAG.items() if getattr(action, name)]
    if action.weapon is not None:
        parts.append(rng.choice(words.SAY_WEAPON[part]).format(weapon=action.weapon))
    move, moving = _say_move(action, rng, part)
    stands = not (action.forward or action.strafe)
    if parts and rng.random() < 0.25 and not stands:
        _, between, last = rng.choice(words.TEMPLATES[part])
        line = rng.choice(words.MEANWHILE[part]).format(rest=_joined(parts, between, last), moving=moving)
    else:
        if not (stands and parts and rng.random() < 0.6):  # "shoot!" says enough
            parts.insert(0, move)
        if rng.random() < 0.3:
            rng.shuffle(parts)
        around, between, last = rng.choice(words.TEMPLATES[part])
        line = around.format(parts=_joined(parts, between, last))
    return line[0].upper() + line[1:] if rng.random() < 0.2 else line


def _joined(parts: list[str], between: str, last: str) -> str:
    return last.join([between.join(parts[:-1]), parts[-1]]) if len(parts) > 1 else parts[0]


def _say_angle(kind: str, degrees: int, rng: random.Random, part: int) -> str:
    if not degrees:
        return ""
    turn = kind == "turn"
    size = abs(degrees)
    direction = side_word(degrees) if turn else ("up" if degrees > 0 else "down")
    plain = words.SAY_TURN_PLAIN if turn else words.SAY_LOOK_PLAIN
    if size == words.PLAIN_AMOUNT and rng.random() < 0.6:
        return rng.choice(plain[part]).format(direction=direction)
    amount = (words.SAY_TURN_AMOUNT if turn else words.SAY_LOOK_AMOUNT)[part].get(size)
    if amount is None or rng.random() < 0.5:
        amount = str(size)
    template = rng.choice((words.SAY_TURN if turn else words.SAY_LOOK)[part])
    return template.format(direction=direction, amount=amount, n=size)


def _say_move(action: Action, rng: random.Random, part: int) -> tuple[str, str]:
    """The movement as an order and as something going on: ("sprint ahead", "sprinting ahead")."""
    if not (action.forward or action.strafe):
        return rng.choice(words.SAY_STAND[part])
    side = side_word(action.strafe)
    if not action.forward:
        move, moving = rng.choice(words.SAY_STRAFE[action.run][part])
        return move.format(side=side), moving.format(side=side)
    choices = words.SAY_MOVE[action.forward, action.run][part]
    if not action.strafe:
        choices += words.SAY_MOVE_BRIEFLY.get((action.forward, action.run), ((), ()))[part]
    move, moving = rng.choice(choices)
    if action.strafe:
        order, ongoing = rng.choice(words.SAY_DIAGONAL[part])
        move, moving = order.format(move=move, side=side), ongoing.format(moving=moving, side=side)
    return move, moving


def side_word(value: int) -> str:
    """`left` for a positive number (strafe or degrees), else `right`."""
    return "left" if value > 0 else "right"
