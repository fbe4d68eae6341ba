"""Plan lines: the one-to-one mapping between a chunk's controls (`Action`) and its canonical line of text.

Grammar, lower case: `MOVE[, turn left|right N][, look up|down N][, jump][, crouch][, switch to WEAPON][, fire][, use]`
with MOVE = `stand` or `(run|walk) [forward|back] [strafe left|right]`. `parse` also reads what people type instead,
and `paraphrase` writes such lines for training and for testing. It knows nothing of tokens, tensors or the game.
"""

from __future__ import annotations

import re
import unicodedata
from collections.abc import Iterable
from dataclasses import dataclass, field

from tv2tv_core import plan_phrases as words
from tv2tv_core.errors import InputError
from tv2tv_core.plan_paraphrase import paraphrase, side_word

TURNS = (5, 10, 15, 20, 25, 30, 45, 60)  # degrees over one chunk
LOOKS = (5, 10, 15, 20)
DEFAULT_TURN = words.PLAIN_AMOUNT  # degrees, when "turn left" or "look up" says no amount
WEAPONS = ("fist", "pistol", "shotgun", "chaingun", "rocket launcher", "plasma rifle", "bfg")
MAX_LENGTH = words.MAX_LENGTH  # characters of a plan line
EXAMPLE = "run forward, turn left 15, fire"

__all__ = ["LOOKS", "MAX_LENGTH", "TURNS", "WEAPONS", "Action", "PlanError", "is_canonical", "paraphrase", "parse",
           "to_line"]  # fmt: skip


class PlanError(InputError):
    """A plan line or an action that cannot be used; the text says what was received, what is allowed, what to do."""


@dataclass(frozen=True)
class Action:
    """The controls held over one chunk (8 game tics). Raises PlanError for values outside the ranges below."""

    forward: int = 0  # +1 forward, -1 back
    strafe: int = 0  # +1 left, -1 right
    run: bool = False  # only together with forward or strafe
    turn: int = 0  # degrees over the chunk, > 0 left; its size is one of TURNS
    look: int = 0  # degrees over the chunk, > 0 up; its size is one of LOOKS
    jump: bool = False
    crouch: bool = False
    weapon: str | None = None  # one of WEAPONS
    fire: bool = False
    use: bool = False

    def __post_init__(self) -> None:
        for name in ("forward", "strafe"):
            _require(self, name, type(getattr(self, name)) is int and getattr(self, name) in (-1, 0, 1), "-1, 0 or 1")
        for name in ("run", "jump", "crouch", "fire", "use"):
            _require(self, name, isinstance(getattr(self, name), bool), "True or False")
        for name, sizes in (("turn", TURNS), ("look", LOOKS)):
            value = getattr(self, name)
            _require(self, name, type(value) is int and (value == 0 or abs(value) in sizes), f"0 or ±{_listed(sizes)}")
        known = self.weapon is None or (isinstance(self.weapon, str) and self.weapon in WEAPONS)
        _require(self, "weapon", known, f"None or {_listed(WEAPONS)}")
        if self.run and not (self.forward or self.strafe):
            raise PlanError("Got run without a movement; set forward or strafe as well, or leave run off.")

    @property
    def slot(self) -> int | None:
        """The number of the weapon to switch to, 1 to 7, or None."""
        return None if self.weapon is None else WEAPONS.index(self.weapon) + 1


def _require(action: Action, name: str, fine: bool, allowed: str) -> None:
    if not fine:
        value = getattr(action, name)
        raise PlanError(f"Got {name} = {_quoted(value)}; allowed is {allowed}. Choose one of these.")


def _listed(values: Iterable[object]) -> str:
    *first, last = [str(value) for value in values]
    return f"{', '.join(first)} or {last}"


def _quoted(value: object) -> str:
    text = repr(value)
    return text if len(text) <= 50 else text[:47] + "…"


def to_line(action: Action) -> str:
    """The one canonical line of this action, e.g. `walk strafe left, turn right 45, fire`."""
    parts = [_move_text(action)]
    if action.turn:
        parts.append(f"turn {side_word(action.turn)} {abs(action.turn)}")
    if action.look:
        parts.append(f"look {'up' if action.look > 0 else 'down'} {abs(action.look)}")
    parts += [name for name in ("jump", "crouch") if getattr(action, name)]
    if action.weapon is not None:
        parts.append(f"switch to {action.weapon}")
    parts += [name for name in ("fire", "use") if getattr(action, name)]
    return ", ".join(parts)


def _move_text(action: Action) -> str:
    if not (action.forward or action.strafe):
        return "stand"
    steps = ["run" if action.run else "walk"]
    if action.forward:
        steps.append("forward" if action.forward > 0 else "back")
    if action.strafe:
        steps.append(f"strafe {side_word(action.strafe)}")
    return " ".join(steps)


def plainly(line: str) -> str:
    """The canonical line that says what `line` says, or `line` itself where the grammar cannot read it."""
    try:
        return to_line(parse(line))
    except PlanError:
        return line


def is_canonical(line: str) -> bool:
    """Whether `line` is exactly what `to_line` writes for some action."""
    try:
        return to_line(parse(line)) == line
    except PlanError:
        return False


# ---- reading what people type ----


def _phrase_table() -> dict[tuple[str, ...], tuple[str, object]]:
    table: dict[tuple[str, ...], tuple[str, object]] = {}

    def add(kind: str, value: object, phrases: Iterable[str]) -> None:
        for phrase in phrases:
            if table.setdefault(tuple(phrase.split()), (kind, value)) != (kind, value):
                raise AssertionError(f"the phrase {phrase!r} has two meanings")

    for name, run in (("run", True), ("walk", False), ("any", None)):
        add("pace", run, words.PACE[name])
        add("speed", run, words.SPEED.get(name, ()))
    add("along", 1, words.FORWARD)
    add("along", -1, words.BACK)
    add("go", 1, words.ADVANCE)
    add("go", -1, words.RETREAT)
    for kind in ("strafe", "stand", "turn", "look", "switch", "filler"):
        add(kind, None, getattr(words, kind.upper()))
    for phrases, reason in words.REFUSED:
        add("refused", reason, phrases)
    add("look to", 1, words.LOOK_UP)
    add("look to", -1, words.LOOK_DOWN)
    add("vertical", 1, words.UP)
    add("vertical", -1, words.DOWN)
    add("side", 1, words.LEFT)
    add("side", -1, words.RIGHT)
    for flag in ("jump", "crouch", "fire", "use"):
        add("flag", flag, getattr(words, flag.upper()))
    for weapon, names in words.WEAPON_NAMES.items():
        add("weapon", weapon, names)
        add("weapon", weapon, [f"use {the}{name}" for name in names for the in ("", "the ", "your ")])
    for phrase, sizes in words.AMOUNTS.items():
        add("amount", (phrase, *sizes), [phrase])
    for phrase, number in words.NUMBER_WORDS.items():
        add("amount", (str(number), number, number), [phrase])
    add("break", False, words.BREAKS)
    add("break", True, words.HARD_BREAKS)
    return table


_PHRASES = _phrase_table()
_LONGEST = max(len(phrase) for phrase in _PHRASES)
_TOKEN = re.compile(r"(?:(?<![a-z0-9])[-−])?[0-9]+(?:\.[0-9]+)?|[a-z]+(?:'[a-z]+)*|\S")


@dataclass
class _Angle:
    """A turn or a look while it is being read."""

    kind: str
    direction: int = 0
    amount: tuple[str, int | None, int | None] | None = None
    open: bool = True  # still takes an amount

    def degrees(self) -> int:
        sizes = TURNS if self.kind == "turn" else LOOKS
        if not self.direction:
            way, example = ("left or right", "left") if self.kind == "turn" else ("up or down", "up")
            raise PlanError(f'Got "{self.kind}" without a direction; add {way}, e.g. "{self.kind} {example} 15".')
        if self.amount is None:
            return self.direction * DEFAULT_TURN
        said, turn, look = self.amount
        size = turn if self.kind == "turn" else look
        if size not in sizes:
            raise PlanError(
                f'Got "{self.kind} {_shorten(said)}"; one chunk allows {_listed(sizes)} degrees. '
                f"Write one of these, and keep the line for more chunks to {self.kind} further."
            )
        return self.direction * size


@dataclass
class _Reader:
    """The state of reading one line; `fields` collects the action."""

    fields: dict[str, object] = field(default_factory=dict)
    angles: list[_Angle] = field(default_factory=list)
    verb: str | None = None  # what left, right and numbers belong to: move, strafe, turn, look, switch
    spare: tuple[str, int | None, int | None] | None = None  # an amount said before its turn
    moves: bool = False
    strafes: bool = False
    stands: bool = False

    def set(self, name: str, value: object, said: str) -> None:
        if self.fields.setdefault(name, value) != value:
            raise PlanError(
                f'"{said}" contradicts an earlier part of this line; one line is one action for one chunk. '
                "Keep one of the two, and write the other at the next boundary."
            )

    def take(self, kind: str, value: object, said: str) -> None:
        """Reads one phrase."""
        if self.verb == "switch" and kind not in ("weapon", "filler", "amount", "switch"):
            raise _unknown_weapon(said)
        handler = getattr(self, "_" + kind.replace(" ", "_"))
        handler(value, said)

    def _filler(self, value: object, said: str) -> None:
        pass

    def _break(self, hard: bool, said: str) -> None:
        if self.angles:
            self.angles[-1].open = False
        if hard:
            self.verb = None

    def _pace(self, run: bool | None, said: str) -> None:
        if run is not None:  # "go", "move" and the like say no pace
            self.set("run", run, said)
        self.moves, self.verb = True, "move"

    def _speed(self, run: bool, said: str) -> None:
        if self.verb not in ("move", "strafe"):
            raise _not_understood(said)
        self.set("run", run, said)

    def _along(self, direction: int, said: str) -> None:
        if self.verb in ("turn", "look") and self.angles and self.angles[-1].open:
            raise PlanError(f'Got "{self.verb} {said}"; a look or turn goes left, right, up or down. Say one of these.')
        self.set("forward", direction, said)
        self.moves, self.verb = True, "move"

    def _go(self, direction: int, said: str) -> None:
        self._along(direction, said)

    def _strafe(self, value: object, said: str) -> None:
        self.moves, self.strafes, self.verb = True, True, "strafe"

    def _stand(self, value: object, said: str) -> None:
        self.stands, self.verb = True, None

    def _refused(self, reason: str, said: str) -> None:
        raise PlanError(f'Got "{said}"; {reason}.')

    def _open_angle(self, kind: str, direction: int = 0) -> None:
        self.angles.append(_Angle(kind, direction, self.spare))
        self.spare = None

    def _turn(self, value: object, said: str) -> None:
        self.verb = "turn"
        self._open_angle("turn")

    def _look(self, value: object, said: str) -> None:
        self.verb = "look"
        self._open_angle("look")

    def _look_to(self, direction: int, said: str) -> None:
        self.verb = "look"
        self._open_angle("look", direction)

    def _aim_at(self, kind: str, direction: int) -> None:
        """Gives the turn or look being read its direction; a second direction starts a second one."""
        if self.angles and not self.angles[-1].direction:
            self.angles[-1].kind, self.angles[-1].direction = kind, direction
        else:
            self._open_angle(kind, direction)

    def _side(self, direction: int, said: str) -> None:
        if self.verb in ("move", "strafe"):
            self.set("strafe", direction, said)
        elif self.verb in ("turn", "look") or self.spare is not None:
            self._aim_at("turn", direction)
        else:
            raise PlanError(f'Got "{said}" alone; say "turn {said}" or "strafe {said}".')

    def _vertical(self, direction: int, said: str) -> None:
        if self.verb in ("move", "strafe"):
            raise PlanError(f'Got "{said}" for a movement; say "look {said}", "jump" or "crouch".')
        self._aim_at("look", direction)

    def _amount(self, amount: tuple[str, int | None, int | None], said: str) -> None:
        if self.verb == "switch":
            if amount[1] not in range(1, len(WEAPONS) + 1):
                raise _unknown_weapon(said)
            return self._weapon(WEAPONS[amount[1] - 1], said)
        if self.angles and self.angles[-1].open and self.angles[-1].amount is None:
            self.angles[-1].amount = amount
        elif self.spare is None:
            self.spare = amount
        else:
            raise _belongs_to_nothing(said)

    def _flag(self, name: str, said: str) -> None:
        self.set(name, True, said)

    def _switch(self, value: object, said: str) -> None:
        self.verb = "switch"

    def _weapon(self, weapon: str, said: str) -> None:
        self.set("weapon", weapon, said)
        self.verb = None

    def finish(self) -> Action:
        """The action that was read; raises PlanError for what is incomplete or contradicts itself."""
        if self.spare is not None:
            raise _belongs_to_nothing(self.spare[0])
        if self.verb == "switch":
            raise _unknown_weapon("nothing")
        if self.strafes and "strafe" not in self.fields:
            raise PlanError('Got "strafe" without a side; say "strafe left" or "strafe right".')
        for angle in self.angles:
            self.set(angle.kind, angle.degrees(), f"{angle.kind} {abs(angle.degrees())}")
        if self.stands and self.moves:
            raise PlanError("Got both standing and moving; keep one of the two.")
        if self.moves and not ("forward" in self.fields or "strafe" in self.fields):
            self.fields["forward"] = 1  # "run" means "run forward"
        return Action(**self.fields)


def _shorten(text: str) -> str:
    return text if len(text) <= 30 else text[:29] + "…"


def _not_understood(said: str) -> PlanError:
    return PlanError(
        f'The plan line has "{_shorten(said)}", which is no known action; known are run, walk, forward, back, strafe, '
        f'turn, look, jump, crouch, switch to, fire and use. Write it like "{EXAMPLE}".'
    )


def _belongs_to_nothing(said: str) -> PlanError:
    return PlanError(f'"{_shorten(said)}" belongs to no turn or look; write it behind one, e.g. "turn left 15".')


def _unknown_weapon(said: str) -> PlanError:
    return PlanError(f'Cannot switch to "{_shorten(said)}"; write "switch to" and {_listed(WEAPONS)}.')


def _clean(line: str) -> str:
    if not isinstance(line, str):
        raise PlanError(f'Got {type(line).__name__} as a plan line; write text like "{EXAMPLE}".')
    text = line.strip()
    if len(text) > MAX_LENGTH:
        raise PlanError(f"The plan line has {len(text)} characters; at most {MAX_LENGTH} are allowed. Shorten it.")
    if any(unicodedata.category(char) in ("Cc", "Cf", "Cs", "Co", "Zl", "Zp") for char in text):
        raise PlanError(f'The plan line has invisible control characters; type it again as text like "{EXAMPLE}".')
    text = unicodedata.normalize("NFKC", text).lower().replace("’", "'")
    if not text:
        raise PlanError(f'The plan line is empty; write what happens next, like "{EXAMPLE}", or "stand".')
    return re.sub(r"(?<=[a-z])-(?=[a-z])", " ", text)  # "forty-five"


def parse(line: str) -> Action:
    """The action that a line means, canonical or as people write it ("sprint ahead and swing left a bit, shoot!").

    A movement without a pace is a walk; a turn or look without an amount is 15 degrees; an amount that one chunk does
    not allow is refused, never rounded. Raises PlanError, and nothing else, for whatever it cannot read.
    """
    tokens = _TOKEN.findall(_clean(line))
    reader = _Reader()
    position, said_something = 0, False
    while position < len(tokens):
        for length in range(min(_LONGEST, len(tokens) - position), 0, -1):
            entry = _PHRASES.get(tuple(tokens[position : position + length]))
            if entry is not None:
                break
        token = tokens[position]
        if entry is None and token[-1].isascii() and token[-1].isdigit():
            whole = int(token) if token.isascii() and token.isdigit() else None
            entry = ("amount", (token, whole, whole))
        if entry is None:
            raise _unknown_weapon(token) if reader.verb == "switch" else _not_understood(token)
        reader.take(entry[0], entry[1], " ".join(tokens[position : position + length]))
        said_something = said_something or entry[0] not in ("filler", "break")
        position += length
    if not said_something:
        raise _not_understood(line.strip())
    return reader.finish()
