"""The one table of generation settings: type, bounds, default, label and help; command line and studio both read it."""

from __future__ import annotations

import math
from collections.abc import Mapping
from dataclasses import dataclass, fields
from typing import Literal

from tv2tv_core.errors import InputError

Number = int | float


@dataclass(frozen=True)
class Setting:
    """One row of the table. `minimum` and `maximum` are both allowed values.

    `applies` says what a change costs: "live" holds from the next chunk on, "reload" needs the model loaded anew.
    """

    name: str
    type: type[int] | type[float]
    default: Number
    minimum: Number
    maximum: Number
    label: str
    help: str
    applies: Literal["live", "reload"] = "live"

    @property
    def allowed(self) -> str:
        """The allowed values in words, for help texts and errors."""
        kind = "a whole number" if self.type is int else "a number"
        top = "2^63 - 1" if self.maximum == 2**63 - 1 else f"{self.maximum:g}"
        return f"{kind} from {self.minimum:g} to {top}"


SETTINGS: tuple[Setting, ...] = (
    Setting("seconds", float, 4.0, 0.25, 120.0, "Length", "length of the clip in seconds"),
    Setting("seed", int, 0, 0, 2**63 - 1, "Seed", "the same seed and request give the same clip"),
    Setting("steps", int, 4, 1, 64, "Steps", "denoising steps per chunk: more is slower and cleaner"),
    Setting("guidance", float, 1.0, 0.0, 8.0, "Guidance", "how strongly frames follow the plan; 1 is off, fastest"),
    Setting("temperature", float, 0.8, 0.0, 2.0, "Temperature", "how freely the model plans; 0 is its likeliest words"),
    Setting("top_p", float, 0.9, 0.01, 1.0, "Top p", "sample plan words from this share of the probability"),
)
BY_NAME: Mapping[str, Setting] = {row.name: row for row in SETTINGS}


@dataclass(frozen=True)
class GenerationSettings:
    """A full, valid set of generation settings; make it with `resolve`. The fields are the rows of `SETTINGS`."""

    seconds: float
    seed: int
    steps: int
    guidance: float
    temperature: float
    top_p: float

    def as_dict(self) -> dict[str, Number]:
        """The settings by name, ready for a file beside the clip."""
        return {field.name: getattr(self, field.name) for field in fields(self)}


def setting(name: str) -> Setting:
    """The row called `name`. Raises InputError for an unknown name, with the known ones."""
    row = BY_NAME.get(name)
    if row is None:
        raise InputError(f"Unknown setting {shorten(name)}. Settings are: {', '.join(BY_NAME)}.")
    return row


def validate(name: str, value: object) -> Number:
    """`value` (a number, or its text) as an allowed value of setting `name`.

    Raises InputError that says what was received, what is allowed and what to do next.
    """
    row = setting(name)
    number = _number(row.type, value)
    if number is None or not row.minimum <= number <= row.maximum:
        shown = shorten(value)
        raise InputError(f"{name} is {shown}; allowed is {row.allowed}. Leave it out for {row.default:g}.")
    return number


def resolve(*layers: Mapping[str, object]) -> GenerationSettings:
    """The table's defaults under `layers` of overrides by name, the last layer winning; a None value overrides nothing.

    Raises InputError for unknown names and for values out of range.
    """
    values: dict[str, Number] = {row.name: row.default for row in SETTINGS}
    for layer in layers:
        values |= {name: validate(name, value) for name, value in layer.items() if value is not None}
    return GenerationSettings(**values)


def shorten(value: object, limit: int = 60) -> str:
    """`value` quoted for a one-line message: no control characters, at most `limit` characters of it."""
    text = value if isinstance(value, str) else repr(value)
    shown = text if len(text) <= limit else f"{text[:limit]}…"
    return ascii(shown) if not shown.isprintable() else f"'{shown}'"


def _number(kind: type[int] | type[float], value: object) -> Number | None:
    """`value` as a finite number of `kind`; None when it is not one. True and False are not numbers here."""
    if isinstance(value, bool) or not isinstance(value, int | float | str):
        return None
    try:
        if isinstance(value, str):
            value = int(value) if kind is int else float(value)
        if kind is int:
            return int(value) if int(value) == value else None
        number = float(value)
    except (ValueError, OverflowError):
        return None
    return number if math.isfinite(number) else None
