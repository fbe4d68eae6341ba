"""Intents measured: what counts as done, and that who obeys is told from who does not listen."""

from __future__ import annotations

import json
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest

from tests.evaluate.recordings import Panning, write_episode
from tests.fakes import FakeBackend
from tv2tv_core.engine.backend import ThinkOptions, Thought
from tv2tv_core.errors import InputError
from tv2tv_core.evaluate.intents import ASKED, CANONICAL, NOTHING, SPAN, TAKES, WORDED, done, figures, measure_intents
from tv2tv_core.intent_phrases import SAY
from tv2tv_core.presets import Preset
from tv2tv_core.timeline import History, IntentSegment

PRESET = Preset("fake", "Fake", Path("none.safetensors"), {"steps": 1})
DOES = {
    "turn left": "stand, turn left 15", "turn right": "walk back, turn right 25", "turn around": "stand, turn left 60",
    "go ahead": "run forward", "go back": "walk back", "strafe left": "run strafe left", "strafe right": "walk strafe right",
    "shoot": "stand, fire", "change": "stand, switch to shotgun", "jump": "stand, jump", "crouch": "stand, crouch",
    "look up": "stand, look up 5", "look down": "stand, look down 20", "wait": "stand",
}  # fmt: skip


class Obedient(FakeBackend):
    """Writes the line that does what the last intent says, in whatever words; turns left 5 by itself."""

    def think(self, history: History, options: ThinkOptions, check: Callable[[], None]) -> Iterator[str | Thought]:
        """One line."""
        said = [segment.text for segment in history if isinstance(segment, IntentSegment)]
        words = said[-1].removesuffix(" please").removeprefix("try this: ") if said else ""
        kinds = [kind for kind, both in SAY.items() for texts in both for text in texts
                 if words == text.format(weapon="shotgun")]
        yield Thought(DOES[kinds[0]] if kinds else "run strafe left, turn left 5")


@pytest.fixture
def data(tmp_path: Path) -> Path:
    for name, seed in (("a", 1), ("b", 2)):
        write_episode(tmp_path / "data" / "heldout" / name, Panning.make(chunks=9, seed=seed))
    return tmp_path / "data"


@pytest.mark.parametrize("kind", ASKED)
def test_a_plan_does_what_it_adds_up_to(kind: str) -> None:
    assert done(kind, [DOES[kind]] * SPAN)
    others = [other for other in ASKED if other != kind and done(kind, [DOES[other]] * SPAN)]
    assert len(others) <= {"wait": 8, "turn around": 2}.get(kind, 1), others
    assert not done(kind, ["the cat sat"] * SPAN) or kind == "wait"


def test_to_and_fro_is_nothing() -> None:
    for one, other in (("turn left", "stand, turn right 15"), ("go ahead", "run back"), ("strafe left", "run strafe right")):
        assert not done(one, [DOES[one], other] * 4)
    assert not done("turn around", ["stand, turn left 45", "stand, turn right 45"] * 4)
    assert not done("change", ["stand, switch to chaingun"])


def test_who_obeys_is_told_from_who_does_not(data: Path, tmp_path: Path) -> None:
    """In both wordings; the chance level is what is done anyway."""
    table = measure_intents(PRESET, data, tmp_path / "out", 2, lambda preset: Obedient(160, 96))
    found = json.loads((tmp_path / "out" / "intents.json").read_text())
    assert found["moments"] == 2 and found["valid"] == {"with intents": 1.0, NOTHING: 1.0}
    for way in (CANONICAL, WORDED):
        here = found["wordings"][way]
        assert here["done"]["mean"] == 1 and here["chance"]["mean"] == pytest.approx(2 / len(ASKED))
        assert here["lead"]["low"] == here["lead"]["mean"] == pytest.approx(1 - 2 / len(ASKED))
        assert here["kinds"]["turn left"]["chance"] == here["kinds"]["strafe left"]["chance"] == 1
        assert here["kinds"]["shoot"]["done"] == 1 and here["kinds"]["shoot"]["low"] < 1
    assert f"| **all, {CANONICAL}** | 100 %" in table and (tmp_path / "out" / "intents.md").read_text() == table


def test_who_does_not_listen_has_no_lead(data: Path, tmp_path: Path) -> None:
    measure_intents(PRESET, data, tmp_path / "out", 2, lambda preset: FakeBackend(160, 96, line="run back, fire"), worded=False)
    found = json.loads((tmp_path / "out" / "intents.json").read_text())
    assert list(found["wordings"]) == [CANONICAL] and found["wordings"][CANONICAL]["lead"]["mean"] == 0
    assert found["wordings"][CANONICAL]["done"]["mean"] == pytest.approx(2 / len(ASKED))


def test_a_finished_moment_is_not_measured_again(data: Path, tmp_path: Path) -> None:
    first = measure_intents(PRESET, data, tmp_path, 1, lambda preset: Obedient(160, 96), worded=False)
    idle = Obedient(160, 96)
    assert measure_intents(PRESET, data, tmp_path, 1, lambda preset: idle, worded=False) == first and idle.steps == 0


def test_a_line_that_cannot_be_ends_a_plan_and_not_the_measure(data: Path, tmp_path: Path) -> None:
    table = measure_intents(PRESET, data, tmp_path, 1, lambda preset: FakeBackend(160, 96, line="la " * 200), worded=False)
    assert "| **all, canonical** | 0 %" in table


def test_without_recordings_it_says_so(tmp_path: Path) -> None:
    with pytest.raises(InputError, match="no held-out recordings"):
        measure_intents(PRESET, tmp_path, tmp_path, 1, lambda preset: Obedient(160, 96))


def test_figures_are_those_of_the_lines() -> None:
    lines = {f"{CANONICAL}/{kind}": [[DOES[kind]] * SPAN] for kind in ASKED}
    value = {"moment": "m", "words": {}, "lines": lines | {NOTHING: [["stand"] * SPAN, *[["run back"] * SPAN] * 2]}}
    found = figures([value, value | {"moment": "n"}])["wordings"][CANONICAL]
    assert len(TAKES) == 3 and found["kinds"]["wait"]["chance"] == pytest.approx(1 / 3)
    assert found["kinds"]["go back"]["chance"] == pytest.approx(2 / 3)
