"""Returns measured: who remembers comes back to the same picture, who does not is told from who does."""

from __future__ import annotations

import json
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest

from tests.evaluate.acting import Actor, FakeFutures
from tests.evaluate.pictures import wide_picture
from tests.evaluate.recordings import Panning
from tv2tv_core.evaluate.extent import HELD_OUT, Extent, Work
from tv2tv_core.evaluate.returns import REST, TURNS, return_items, return_section, returns
from tv2tv_core.settings import resolve
from tv2tv_core.timeline import History

ROOM = wide_picture(96, 160 + 45 * 8, seed=5)
EXTENT = replace(Extent.quick(), late_moments=3)


def facing(history: History) -> int:
    """How many chunks the camera has been turned to the right, all in all."""
    lines, node = [history.plan], history.boundary
    while node.parent is not None:
        lines.append(node.plan)
        node = node.parent.boundary
    return sum("right 45" in line for line in lines) - sum("left 45" in line for line in lines)


def shown(place: int) -> np.ndarray:
    return np.stack([ROOM[:, 45 * place : 45 * place + 160]] * 4)


def remembers(history: History, index: int) -> np.ndarray:
    """A room in which every direction has its picture."""
    return shown(facing(history))


def forgets(history: History, index: int) -> np.ndarray:
    """Each chunk another noise."""
    return np.random.default_rng(index).integers(0, 256, (4, 96, 160, 3), np.uint8)


def measured(rule: Callable[[History, int], np.ndarray]) -> tuple[list[dict], list[dict]]:
    episodes = [Panning.make(chunks=12, seed=number) for number in range(3)]
    for number, episode in enumerate(episodes):
        episode.folder = Path(f"room-{number}")
    work = Work(Actor(rule), resolve({"steps": 1}), {HELD_OUT: episodes}, FakeFutures(), EXTENT)
    ticks: list[int] = []
    values, files = [], []
    for item in return_items(work):
        value, kept = item.measure(None, lambda: ticks.append(1))
        values.append(json.loads(json.dumps(value)))
        files.append(kept)
    assert len(ticks) == len(values) * (REST + 2 * sum(TURNS.values()))
    return values, files


def test_who_remembers_is_told_from_who_does_not() -> None:
    values, files = measured(remembers)
    found = returns(values)
    assert found["moments"] == len(values) == 3 and list(found["turns"]) == list(TURNS)
    for turn in found["turns"].values():
        assert turn["back"]["mean"] == pytest.approx(0, abs=1e-6) and turn["away"]["mean"] > 0.1
    assert any(name.endswith(".jpg") for name in files[0]) and not files[-1]
    lost = returns(measured(forgets)[0])
    for turn in lost["turns"].values():
        assert turn["back"]["mean"] == pytest.approx(turn["away"]["mean"], rel=0.2) and turn["back"]["mean"] > 0.1
    assert "90°" in return_section(found, "") and "0.000" in return_section(found, "")


def test_without_moments_there_is_nothing_to_say() -> None:
    found = returns([])
    assert found == {"moments": 0, "turns": {}} and return_section(found, "") == ""
