"""Bridging: the candidate nearest to the target wins, the same one every time, and stopping loses nothing that is kept."""

from __future__ import annotations

from collections.abc import Callable, Iterator

import numpy as np
import pytest

from tests.fakes import LINES, FakeBackend
from tv2tv_core.engine.backend import ActOptions
from tv2tv_core.engine.bridge import distance, nearest
from tv2tv_core.engine.control import Control
from tv2tv_core.engine.events import ChunkDone, ChunkStarted, Failed, Finished, PlanDone
from tv2tv_core.engine.generate import GenerateRequest, generate
from tv2tv_core.errors import InputError
from tv2tv_core.timeline import History

START = np.zeros((4, 24, 40, 3), np.uint8)


class Watched(FakeBackend):
    """Calls `on_act` before every chunk."""

    on_act: Callable[[], None] = staticmethod(lambda: None)

    def act(self, history: History, index: int, options: ActOptions, check: Callable[[], None]) -> Iterator[object]:
        self.on_act()
        return super().act(history, index, options, check)


def request(backend: FakeBackend, history: History | None = None, seed: int = 3) -> GenerateRequest:
    return GenerateRequest(backend, history or backend.begin("a place", START), 1, seed=seed, steps=2)


def under(backend: FakeBackend, asked: GenerateRequest, line: str) -> np.ndarray:
    """The last frame of the chunk that a line gives."""
    one = GenerateRequest(backend, asked.history, 1, plan=[line], seed=asked.seed, steps=asked.steps)
    return next(event.chunk.frames[-1] for event in generate(one) if isinstance(event, ChunkDone))


def last(events: list, kind: type) -> object:
    return next(event for event in reversed(events) if isinstance(event, kind))


@pytest.mark.parametrize("wanted", LINES)
def test_the_line_that_leads_to_the_target_wins(wanted: str) -> None:
    backend = FakeBackend()
    asked = request(backend)
    target = under(backend, asked, wanted)
    events = list(nearest(asked, target, tries=len(LINES)))
    assert (last(events, PlanDone).line, last(events, PlanDone).source) == (wanted, "model")
    made = last(events, ChunkDone)
    assert np.array_equal(made.chunk.frames[-1], target) and distance(target, made.chunk.frames[-1]) == 0
    kinds = [type(event) for event in events]
    assert kinds.count(ChunkDone) == kinds.count(ChunkStarted) == 1 and kinds[-1] is Finished
    assert events[-1].reason == "length" and events[-1].history is made.history


def test_no_candidate_is_nearer_than_the_one_kept() -> None:
    backend = FakeBackend()
    asked = request(backend)
    target = np.random.default_rng(1).integers(0, 255, (24, 40, 3), dtype=np.uint8)
    kept = last(list(nearest(asked, target, tries=len(LINES))), ChunkDone).chunk.frames[-1]
    assert distance(kept, target) == min(distance(under(backend, asked, line), target) for line in LINES)


def test_what_is_kept_equals_what_its_line_alone_gives() -> None:
    """So a bridge that is exported and brought back, or continued, is made of the same frames."""
    backend = FakeBackend()
    history, target = backend.begin("a place", START), np.full((24, 40, 3), 90, np.uint8)
    for _ in range(4):
        asked = request(backend, history)
        made = last(list(nearest(asked, target)), ChunkDone)
        assert np.array_equal(made.chunk.frames[-1], under(backend, asked, made.history.plan))
        again = last(list(nearest(asked, target)), ChunkDone)
        assert np.array_equal(made.chunk.frames, again.chunk.frames) and made.chunk.seed == again.chunk.seed
        history = made.history


def test_a_pause_waits_for_the_chunk_and_changes_nothing() -> None:
    backend, control, target = Watched(), Control(), np.full((24, 40, 3), 50, np.uint8)
    asked = request(backend)
    whole = last(list(nearest(asked, target)), ChunkDone)
    backend.on_act = control.pause
    paused = list(nearest(asked, target, control))
    assert np.array_equal(last(paused, ChunkDone).chunk.frames, whole.chunk.frames)
    events = list(nearest(request(backend, whole.history), target, control))
    assert [type(event) for event in events] == [Finished] and events[0].reason == "paused"
    assert events[0].history is whole.history


def test_a_cancel_is_obeyed_at_once_and_leaves_the_story_as_it_was() -> None:
    backend, control = Watched(), Control()
    asked = request(backend)
    backend.on_act = control.cancel
    events = list(nearest(asked, START[-1], control))
    assert [type(event) for event in events] == [Finished] and events[0].reason == "cancelled"
    assert events[0].history is asked.history and backend.steps == 0


def test_a_model_that_ends_the_clip_or_fails_says_so() -> None:
    [ended] = nearest(request(FakeBackend(end_at=0)), START[-1])
    assert ended.reason == "ended"
    failing = nearest(request(FakeBackend(fail_at=(0, 1))), START[-1])
    assert isinstance(next(failing), Failed)
    with pytest.raises(RuntimeError, match="memory"):
        next(failing)


def test_distance_is_that_of_grey_levels_and_blind_to_a_pixel() -> None:
    black, grey = np.zeros((24, 40, 3), np.uint8), np.full((24, 40, 3), 30, np.uint8)
    assert distance(black, black) == 0 and distance(black, grey) == pytest.approx(30)
    scene = np.random.default_rng(0).integers(0, 255, (3, 5, 3), dtype=np.uint8).repeat(8, 0).repeat(8, 1)
    assert distance(scene, np.roll(scene, 1, 1)) < 0.5 * distance(scene, np.roll(scene, 8, 1))
    with pytest.raises(InputError, match="20 x 24"):
        distance(scene, scene[:, :20])
