"""Any backend as a predictor: it is given a true past as its own history and acts under the true plan lines."""

from __future__ import annotations

from collections.abc import Callable, Sequence

import numpy as np

from tv2tv_core.engine.backend import Backend
from tv2tv_core.engine.events import ChunkDone
from tv2tv_core.engine.generate import GenerateRequest, generate
from tv2tv_core.evaluate.prediction import Past
from tv2tv_core.settings import GenerationSettings
from tv2tv_core.timeline import ChunkSegment, History, TextSegment


def true_history(backend: Backend, past: Past) -> History:
    """`past` as the history that a clip would have: its first chunk is the start, text stands where the line changes.

    Latents come from `backend.begin`, chunk by chunk, so this works for every backend.
    """
    history = backend.begin(past.meta_prompt, past.frames[0])
    for index, (frames, line) in enumerate(zip(past.frames[1:], past.lines[1:], strict=True)):
        if line != history.plan:
            history = history.then(TextSegment(line, "person"))
        told = backend.begin(past.meta_prompt, frames).segment
        history = history.then(ChunkSegment(index, told.frames, told.latents))
    return history


class BackendPredictor:
    """A `prediction.Predictor` over a backend, at the denoising steps and guidance of `settings`."""

    def __init__(
        self, backend: Backend, settings: GenerationSettings, on_chunk: Callable[[], None] = lambda: None
    ) -> None:
        """`on_chunk` is called after every predicted chunk."""
        self.backend, self.settings, self.on_chunk = backend, settings, on_chunk

    def __call__(self, past: Past, lines: Sequence[str], seed: int) -> np.ndarray:
        """One chunk per line behind the true past, uint8 [len(lines), 4, H, W, 3]. Same input and seed, same output."""
        return act_out(self.backend, true_history(self.backend, past), lines, self.settings, seed, self.on_chunk)


def act_out(
    backend: Backend,
    history: History,
    lines: Sequence[str],
    settings: GenerationSettings,
    seed: int,
    on_chunk: Callable[[], None] = lambda: None,
) -> np.ndarray:
    """Chunks that a backend makes after `history` when a person writes every line, uint8 [len(lines), 4, H, W, 3]."""
    grown = go_on(backend, history, lines, settings, seed, on_chunk)
    return np.stack([chunk.frames for chunk in grown.chunks[-len(lines) :]])


def go_on(
    backend: Backend,
    history: History,
    lines: Sequence[str],
    settings: GenerationSettings,
    seed: int,
    on_chunk: Callable[[], None] = lambda: None,
) -> History:
    """`history` and one more chunk per line, all lines a person's; `history` itself when there is no line."""
    if not lines:
        return history
    request = GenerateRequest(
        backend, history, len(lines), plan=tuple(lines), seed=seed, steps=settings.steps, guidance=settings.guidance
    )
    for event in generate(request):
        if isinstance(event, ChunkDone):
            history = event.history
            on_chunk()
    return history
