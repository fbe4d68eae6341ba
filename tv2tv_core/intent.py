"""Intents: what should happen over the next seconds, in a person's words, from which the model writes the plan lines.

Where a person may write a plan line they may write an intent instead, as a row that begins with PREFIX. To the model it is text
above the next plan line and nothing more: motion and stem read plan lines alone. `describe` writes intents from their parts,
for training and for testing.
"""

from __future__ import annotations

import random
from collections.abc import Sequence
from dataclasses import dataclass

from tv2tv_core import intent_phrases as words
from tv2tv_core.errors import InputError

PREFIX = "intent: "
MAX_PARTS = 3
TOGETHER = 1.5  # chunks; parts nearer than this happen at the same time


@dataclass(frozen=True)
class Part:
    """One thing that happens: a key of `intent_phrases.SAY`, about when (in chunks), and which weapon when it is `change`."""

    kind: str
    at: float = 0.0
    weapon: str = ""


def row(text: str) -> str:
    """The plan row of an intent. Raises InputError when it says nothing."""
    if not text.strip():
        raise InputError('The intent is empty: write what should happen, like "turn right and go ahead, then shoot".')
    return PREFIX + text.strip()


def text_of(line: str | None) -> str | None:
    """The intent that a plan row holds, "" when it has the prefix alone; None for a plan line or nothing."""
    mark = PREFIX.strip()
    return line.strip()[len(mark) :].strip() if line and line.strip()[: len(mark)].casefold() == mark else None


def as_read(text: str) -> str:
    """An intent as it stands above a plan line in front of the model."""
    return f"{PREFIX}{text}\n"


def describe(parts: Sequence[Part], rng: random.Random | None = None, held_out: bool = False) -> str:
    """Parts in order as one intent, at least one and at most MAX_PARTS; canonical without `rng`.

    With `rng` one of many wordings; with `held_out` in words and joints that the others never use, for testing alone.
    """
    if not 1 <= len(parts) <= MAX_PARTS:
        raise ValueError(f"an intent has 1 to {MAX_PARTS} parts, not {len(parts)}")

    def pick(choices: tuple[tuple[str, ...], tuple[str, ...]]) -> str:
        return rng.choice(choices[held_out]) if rng else choices[held_out][0]

    ordered = sorted(parts, key=lambda part: part.at)
    said = ""
    for before, part in zip([None, *ordered], ordered, strict=False):
        if before is not None:
            said += pick(words.TOGETHER if part.at - before.at < TOGETHER else words.AFTER)
        said += pick(words.SAY[part.kind]).format(weapon=part.weapon)
    return pick(words.AROUND).format(intent=said)
