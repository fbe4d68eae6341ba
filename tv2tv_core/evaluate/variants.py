"""The paper's three ways to use text, at play: TV2TV plans between chunks, T2V never, Think2V before the first frame."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass, replace
from typing import Any

import numpy as np
import torch

from tv2tv_core.engine.backend import Backend, ThinkOptions, Thought
from tv2tv_core.engine.events import ChunkDone, ChunkStarted
from tv2tv_core.engine.generate import GenerateRequest, generate
from tv2tv_core.engine.memory import Remembered
from tv2tv_core.engine.native import NativeBackend
from tv2tv_core.engine.seeds import think_seed
from tv2tv_core.model.mot import Context, SegmentCache
from tv2tv_core.model.smollm2 import Tokenizer
from tv2tv_core.settings import GenerationSettings
from tv2tv_core.timeline import History, TextSegment
from tv2tv_core.whole_plan import PLAN_CHUNKS, read_plan, write_plan

PLAN_TOKENS = 600  # a whole plan of real play is about 190


class Silent(NativeBackend):
    """T2V: no line is ever written."""

    def __init__(self, *parts: Any, **names: Any) -> None:
        super().__init__(*parts, **names)
        self.spec = replace(self.spec, takes_intents=False)

    def think(self, history: History, options: ThinkOptions, check: Callable[[], None]) -> Iterator[str | Thought]:
        """The plan in force goes on, so without a person's line there is none."""
        check()
        yield Thought(None)


class Beforehand(Silent):
    """Think2V: the plan stands behind the prompt, as the first slot of its training windows has it.

    A history's lines only say which row of the plan is in force: motion and stem read that one; no token of it is in view.
    """

    @torch.inference_mode()
    def write(self, prompt: str, options: ThinkOptions) -> str:
        """Sample a whole plan from the prompt alone, as text for `read_plan`."""
        mot, generator = self.model.mot, torch.Generator().manual_seed(options.seed)
        context, ids = Context(), []
        tokens = [Tokenizer.bos, *self.tokenizer.encode(prompt + "\n")]
        while len(ids) < PLAN_TOKENS:
            states, cache = mot.run_text(torch.tensor([tokens], device=self.device), context)
            mot.extend(context, cache)
            token = self._sample(mot.logits(states[0, -1]), options, generator)
            if token == self.model.config.text.bof:
                break
            ids.append(token)
            tokens = [token]
        return self.tokenizer.decode(ids).strip()

    def _encode(self, node: History, context: Context, before: Remembered) -> Remembered:
        if not isinstance(node.segment, TextSegment):
            return super()._encode(node, context, before)
        nowhere = torch.zeros(0, 3, dtype=torch.long, device=self.device)
        return replace(before, cache=SegmentCache(None, None, nowhere, nowhere, 0))


def reborn(kind: type[NativeBackend], backend: NativeBackend) -> NativeBackend:
    """The same model as another kind of player."""
    return kind(backend.model, backend.codec, backend.tokenizer, name=backend.spec.name, model_hash=backend.spec.model_hash,
                given_codec=backend.given_codec)


@dataclass(frozen=True, eq=False)
class Clip:
    """What was played: frames uint8 [n, 4, H, W, 3], the line in force for each chunk, rows of a plan that were unreadable."""

    frames: np.ndarray
    lines: tuple[str, ...]
    unreadable: int = 0


@dataclass(frozen=True, eq=False)
class Start:
    """Where a clip begins: the prompt, one start chunk uint8 [4, H, W, 3], and the seed of its noise."""

    prompt: str
    frames: np.ndarray
    seed: int


def play(backend: Backend, start: Start, lines: Sequence[str] | None, chunks: int, settings: GenerationSettings,
         tick: Callable[[], None] = lambda: None) -> Clip:
    """`chunks` chunks from `start`, under the given line of each chunk, or as the backend plans for itself (None).

    For Think2V given lines are the plan that it would have written; T2V must be given none.
    """
    prompt, plan, bad = start.prompt, tuple(lines or ()), 0
    if isinstance(backend, Beforehand):
        options = ThinkOptions(settings.temperature, settings.top_p, think_seed(start.seed, "main", 0))
        text = write_plan(lines) if lines else backend.write(prompt, options)
        (found, bad), prompt = read_plan(text, chunks), planned(prompt, text)
        plan = tuple(found)
    request = GenerateRequest(
        backend, backend.begin(prompt, start.frames), chunks, plan=plan, seed=start.seed, steps=settings.steps,
        guidance=settings.guidance, temperature=settings.temperature, top_p=settings.top_p,
    )
    frames, in_force = [], []
    for event in generate(request):
        match event:
            case ChunkStarted(plan=line):
                in_force.append(line)
            case ChunkDone(chunk=chunk):
                frames.append(chunk.frames)
                tick()
    return Clip(np.stack(frames), tuple(in_force), bad)


def planned(prompt: str, text: str) -> str:
    """A prompt with a whole plan behind it, as Think2V reads it."""
    return f"{prompt}\n{text}"


def held_plan(past: Sequence[str], line: str) -> str:
    """The plan that was followed for the chunks of `past` and is then rewritten to hold one line to its end."""
    return write_plan([*past, *[line] * (PLAN_CHUNKS - len(past))])
