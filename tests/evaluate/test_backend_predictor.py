"""A backend as a predictor: a true past is told in the words and chunks of a clip, and then simply goes on."""

from __future__ import annotations

import numpy as np

from tests.evaluate.recordings import Panning
from tests.fakes import FakeBackend
from tv2tv_core.engine.events import Finished
from tv2tv_core.engine.generate import GenerateRequest, generate
from tv2tv_core.evaluate.backend_predictor import BackendPredictor, true_history
from tv2tv_core.evaluate.prediction import Past, predict_suite
from tv2tv_core.settings import resolve
from tv2tv_core.timeline import ChunkSegment, History, TextSegment

LINES = ("stand", "stand", "run forward", "run forward", "run back", "stand", "stand", "jump, stand")


def clip(backend: FakeBackend, seed: int = 3) -> History:
    start = np.random.default_rng(0).integers(0, 256, (4, 24, 40, 3), dtype=np.uint8)
    request = GenerateRequest(backend, backend.begin("a room", start), len(LINES), plan=LINES, seed=seed, steps=2)
    *_, last = generate(request)
    assert isinstance(last, Finished)
    return last.history


def past_of(history: History, chunks: int) -> Past:
    """The start and the first chunks of a clip, as if they had been recorded."""
    frames = np.stack([chunk.frames for chunk in history.chunks[: chunks + 1]])
    return Past(frames, ("whatever led here", *LINES[:chunks]), history.prompt)


def test_a_past_that_is_a_clip_goes_on_as_the_clip_did() -> None:
    backend = FakeBackend()
    history = clip(backend)
    predictor = BackendPredictor(backend, resolve({"steps": 2}))
    for chunks in (1, 4):
        predicted = predictor(past_of(history, chunks), LINES[chunks:], seed=3)
        assert np.array_equal(predicted, np.stack([c.frames for c in history.chunks[chunks + 1 :]]))


def test_text_stands_where_the_line_changes() -> None:
    backend = FakeBackend()
    told = list(true_history(backend, past_of(clip(backend), 5)))
    assert [s.text for s in told if isinstance(s, TextSegment)] == ["stand", "run forward", "run back"]
    assert [s.index for s in told if isinstance(s, ChunkSegment)] == [-1, 0, 1, 2, 3, 4]
    assert [isinstance(s, TextSegment) for s in told] == [False, True, False, False, True, False, False, True, False]


def test_steps_and_seed_reach_the_backend_and_chunks_are_counted() -> None:
    backend, ticks = FakeBackend(), []
    past = past_of(clip(backend), 2)
    backend.steps = 0
    predictor = BackendPredictor(backend, resolve({"steps": 5}), lambda: ticks.append(1))
    first = predictor(past, LINES[2:5], seed=1)
    assert backend.steps == 3 * 5 and len(ticks) == 3 and backend.thoughts == 0
    assert np.array_equal(first, predictor(past, LINES[2:5], seed=1))
    assert not np.array_equal(first, predictor(past, LINES[2:5], seed=2))


def test_it_fits_into_the_prediction_suite() -> None:
    predictor = BackendPredictor(FakeBackend(160, 96), resolve({"steps": 1}))
    table = predict_suite(predictor, [Panning.make()], horizons=(1, 2), n=2, context=3)
    still = table.score("repeat last frame", 1, "lpips").mean
    assert table.score("model", 1, "lpips").mean > still  # noise is a worse guess than standing still
