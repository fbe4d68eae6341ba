"""Language: what the model writes at true boundaries is set against real play and against baselines."""

from __future__ import annotations

import pytest

from tests.evaluate.recordings import Panning
from tests.fakes import FakeBackend
from tv2tv_core.evaluate.interventions import Player
from tv2tv_core.evaluate.language import agreement, boundaries, in_force, kind, variety
from tv2tv_core.settings import resolve
from tv2tv_core.timeline import TextSegment


def row(real: str, before: str, wrote: str | None) -> dict:
    return {"real": real, "before": before, "sampled": wrote, "likeliest": wrote}


def test_a_model_that_writes_what_is_played_agrees_with_everything() -> None:
    asked = [[row("stand", "stand", None), row("run back", "stand", "run back"), row("stand, fire", "run back", "stand, fire")]]
    found = agreement(asked, "sampled")
    for where in ("all", "changes"):
        assert found[where]["line"]["model"]["mean"] == found[where]["kind"]["model"]["mean"] == 1
    assert found["all"]["line"]["keep"]["mean"] == pytest.approx(1 / 3) and found["changes"]["line"]["keep"]["mean"] == 0
    assert found["when"] | {"real": 0, "model": 0, "agree": 0} == {
        "real": 0, "model": 0, "agree": 0, "both": 2, "real_alone": 0, "model_alone": 0, "neither": 1,
    }  # fmt: skip
    assert found["valid"] == found["canonical"] == 1 and found["written"] == 2


def test_the_move_can_be_right_where_the_line_is_not() -> None:
    found = agreement([[row("run forward, turn left 15", "stand", "walk forward, turn left 5, fire")]], "likeliest")
    assert found["all"]["line"]["model"]["mean"] == 0 and found["all"]["kind"]["model"]["mean"] == 1


def test_the_majority_is_the_commonest_recorded_line() -> None:
    asked = [[row("stand", "run back", "run back")] * 3 + [row("run back", "stand", None)]]
    found = agreement(asked, "sampled")["all"]["line"]
    assert found["commonest"] == "stand" and found["majority"]["mean"] == 0.75 and found["model"]["mean"] == 0


def test_nonsense_is_neither_valid_nor_a_move() -> None:
    found = agreement([[row("stand", "stand", "the cat sat")]], "sampled")
    assert found["valid"] == 0 and found["all"]["kind"]["model"]["mean"] == 0 and kind("the cat sat") == "unreadable"


def test_moves_are_told_by_their_direction() -> None:
    assert kind("run forward strafe left, turn left 30, fire") == "forward left, turn left"
    assert kind("walk back") == "back" and kind("stand, use") == "stand" and kind("run strafe right") == "right"


def test_it_asks_at_every_boundary_of_the_true_past() -> None:
    backend, heard = FakeBackend(160, 96), []
    think = backend.think

    def listening(history, options, check):
        heard.append((len(history.chunks), [s.text for s in history if isinstance(s, TextSegment)], options.temperature))
        return think(history, options, check)

    backend.think = listening
    recording = Panning.make(chunks=12)
    found = boundaries(Player(backend, resolve({"temperature": 0.7}), 5), recording, 2, 4, 3)
    assert [one["real"] for one in found] == recording.lines[6:9] and [one["before"] for one in found] == recording.lines[5:8]
    assert [length for length, _, _ in heard] == [4, 4, 5, 5, 6, 6] and {t for _, _, t in heard} == {0.7, 0.0}
    for length, texts, _ in heard:
        told = recording.lines[3 : 2 + length]
        assert texts == [line for index, line in enumerate(told) if index == 0 or line != told[index - 1]]


def test_variety_counts_lines_and_their_evenness() -> None:
    found = variety([["stand"] * 4, ["stand", "stand", "run back", "run back"]])
    assert found["chunks"] == 8 and found["distinct"] == 2 and found["changes"] == pytest.approx(1 / 6)
    assert found["bits"] == pytest.approx(0.8113, abs=1e-4)
    assert variety([["stand"]])["bits"] == 0 and variety([])["changes"] is None
    assert in_force([None, "run back", None], "stand") == ["stand", "run back", "run back"]
