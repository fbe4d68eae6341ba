"""The three players on the real backend, tiny: who writes, who is told, and what stands in view."""

from __future__ import annotations

import numpy as np
import pytest
import torch

from tests.engine.tiny_backend import LetterTokenizer
from tests.model.tiny import tiny_model
from tv2tv_core.engine.backend import ActOptions, ThinkOptions
from tv2tv_core.engine.native import NativeBackend
from tv2tv_core.evaluate.variants import Beforehand, Silent, Start, held_plan, planned, play, reborn
from tv2tv_core.model.codec import PixelCodec
from tv2tv_core.settings import resolve
from tv2tv_core.timeline import TextSegment
from tv2tv_core.whole_plan import PLAN_CHUNKS, read_plan

LINES = ("run forward", "run forward", "stand, turn left 15", "walk back, fire")


class PlanTokenizer(LetterTokenizer):
    """Letters, and what a whole plan is written with."""

    letters = LetterTokenizer.letters + ":\n"


@pytest.fixture(scope="module")
def native() -> NativeBackend:
    torch.manual_seed(0)
    model = tiny_model().requires_grad_(False)
    return NativeBackend(model, PixelCodec(8, 8, 1).eval(), PlanTokenizer(), name="tiny", model_hash="0")


def start(seed: int = 0) -> Start:
    frames = np.random.default_rng(seed).integers(0, 256, (4, 32, 48, 3), dtype=np.uint8)
    return Start("a tiny world", frames, 5)


SETTINGS = resolve({"steps": 1, "temperature": 1.0, "top_p": 1.0})


def test_t2v_never_writes_a_line(native: NativeBackend) -> None:
    clip = play(reborn(Silent, native), start(), None, 4, SETTINGS)
    assert clip.lines == ("",) * 4 and clip.frames.shape == (4, 4, 32, 48, 3)


@pytest.mark.parametrize("kind", [NativeBackend, Beforehand])
def test_given_lines_are_in_force(kind: type[NativeBackend], native: NativeBackend) -> None:
    backend = reborn(kind, native)
    ticks: list[int] = []
    clip = play(backend, start(), LINES, 4, SETTINGS, lambda: ticks.append(1))
    assert clip.lines == LINES and len(ticks) == 4 and clip.unreadable == 0
    again = play(backend, start(), LINES, 4, SETTINGS)
    assert np.array_equal(clip.frames, again.frames)
    other = play(backend, start(), ("jump",) * 4, 4, SETTINGS)
    assert not np.array_equal(clip.frames[0], other.frames[0])


def test_think2v_writes_from_the_prompt_alone(native: NativeBackend) -> None:
    backend = reborn(Beforehand, native)
    texts = {backend.write("a tiny world", ThinkOptions(1.0, 1.0, seed)) for seed in range(4)}
    assert len(texts) > 1
    assert backend.write("a tiny world", ThinkOptions(1.0, 1.0, 1)) in texts
    lines = {play(backend, start(seed), None, 3, SETTINGS).lines for seed in range(3)}
    assert len(lines) == 1  # other start frames, same plan


def test_a_line_of_the_plan_is_read_and_takes_no_room(native: NativeBackend) -> None:
    """Between chunks nothing of it is in view; motion and stem hear it all the same."""
    backend = reborn(Beforehand, native)
    begun = backend.begin(planned("a tiny world", "1: run forward"), start().frames)
    told = [begun.then(TextSegment(line, "person")) for line in ("run forward", "walk back")]
    contexts = [backend._memory.context(history, lambda: None)[0] for history in (begun, *told)]
    for context in contexts[1:]:
        assert context.position == contexts[0].position
        assert torch.equal(context.text.key, contexts[0].text.key)
    one, other = (list(backend.act(history, 0, ActOptions(1, 1.0, 1), lambda: None))[-1].frames for history in told)
    assert not np.array_equal(one, other)
    plain = native.begin("a tiny world", start().frames)
    written = native._memory.context(plain.then(TextSegment("run forward", "person")), lambda: None)[0]
    assert written.position > native._memory.context(plain, lambda: None)[0].position


def test_a_rewritten_plan_keeps_what_is_over() -> None:
    lines, bad = read_plan(held_plan(LINES, "jump"), PLAN_CHUNKS)
    assert bad == 0 and lines == [*LINES, *["jump"] * (PLAN_CHUNKS - 4)]
