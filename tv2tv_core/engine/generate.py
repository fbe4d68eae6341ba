"""The only generation loop: for each chunk it lets a backend think (or takes a person's line), then act, as events.

It knows no model, no file and no interface. Everything that it yields follows from the request alone, so a run that was
paused, split or forked equals one that was not.
"""

from __future__ import annotations

import time
from collections.abc import Generator, Iterator, Sequence
from dataclasses import dataclass
from typing import Literal, TypeVar

import numpy as np

from tv2tv_core.engine.backend import ActOptions, Backend, ThinkOptions, Thought
from tv2tv_core.engine.control import Control
from tv2tv_core.engine.events import (
    ChunkDone,
    ChunkStarted,
    DenoisingStep,
    Event,
    Failed,
    Finished,
    PlanDone,
    TextToken,
)
from tv2tv_core.engine.seeds import noise_seed, suggest_seed, think_seed
from tv2tv_core.errors import Cancelled, InputError, TV2TVError
from tv2tv_core.intent import row, text_of
from tv2tv_core.plan import MAX_LENGTH
from tv2tv_core.settings import shorten, validate
from tv2tv_core.timeline import ChunkSegment, History, IntentSegment, Source, TextSegment

SUGGEST_LIMIT = 32
"""The most alternatives for one line; nobody reads more."""
SUGGEST_TRIES = 4
"""Lines sampled per alternative asked for: most samples repeat one another."""

Stop = Literal["paused", "ended"]
Item = TypeVar("Item")


@dataclass(frozen=True)
class GenerateRequest:
    """What to make: `chunks` more chunks after `history`, which ends at a boundary (its last segment is a chunk).

    `plan[i]` is the line that a person wrote for the i-th of these chunks; None, an empty line or a plan that has run
    out leave it to the model, and so does an intent (`tv2tv_core.intent`), which the model reads first; `author` is who
    wrote it when no person did. `take` names the branch: another take of the
    same project seed draws other noise.
    `seed`, `steps`, `guidance`, `temperature` and `top_p` have the bounds of `tv2tv_core.settings`.
    Raises InputError with the argument, the value and what is allowed.
    """

    backend: Backend
    history: History
    chunks: int
    plan: Sequence[str | None] = ()
    seed: int = 0
    take: str = "main"
    steps: int = 4
    guidance: float = 1.0
    temperature: float = 0.8
    top_p: float = 0.9
    previews: bool = False
    author: Source = "person"

    def __post_init__(self) -> None:
        if isinstance(self.plan, str):
            raise InputError("The plan must be a list of lines, one for each chunk, not one text.")
        if not isinstance(self.chunks, int) or self.chunks < 1:
            raise InputError(f"chunks is {shorten(self.chunks)}; allowed is a whole number from 1.")
        if len(self.plan) > self.chunks:
            lines = len(self.plan)
            raise InputError(f"The plan has {lines} lines for {self.chunks} chunks: shorten it or ask for more.")
        for name in ("seed", "steps", "guidance", "temperature", "top_p"):
            object.__setattr__(self, name, validate(name, getattr(self, name)))
        object.__setattr__(self, "plan", tuple(_forced(line) for line in self.plan))
        _check_read(self.backend, self.plan)
        next_index(self.history)


def generate(request: GenerateRequest, control: Control | None = None) -> Iterator[Event]:
    """Make the chunks of `request` one after the other and yield what happens.

    The last event is `Finished`, or `Failed` when the backend raised; then the same error is raised once the consumer
    asks for more. A chunk in flight that is cancelled or fails leaves no trace in the history of the last event.
    """
    control = control or Control()
    history = request.history
    for offset in range(request.chunks):
        try:
            grown = yield from _chunk(request, control, history, offset)
        except Cancelled:
            yield Finished("cancelled", history)
            return
        except Exception as error:
            yield Failed(error, history)
            raise
        if not isinstance(grown, History):
            yield Finished(grown, history)
            return
        history = grown
    yield Finished("length", history)


def next_index(history: History) -> int:
    """Index of the chunk that comes after `history`. Raises ValueError when it does not end at a boundary."""
    if not isinstance(history.segment, ChunkSegment):
        raise ValueError("generation starts at a boundary: the last segment of the history must be a chunk")
    return history.segment.index + 1


def check_line(text: str, author: str = "The plan line") -> str:
    """Return `text` without outer blanks, when it can be a row of a plan: at most 200 printable characters on one line.

    An intent must say something. Raises InputError, which begins with `author` otherwise.
    """
    wanted = text_of(text)
    line = text.strip() if wanted is None else row(wanted)
    if len(line) > MAX_LENGTH:
        raise InputError(f"{author} has {len(line)} characters; at most {MAX_LENGTH} are allowed. Shorten it.")
    if not line.isprintable():
        raise InputError(f"{author} holds control characters or line breaks: write plain words on one line.")
    return line


def asking(backend: Backend, history: History, asked: str | None) -> History:
    """What the model reads before it thinks of the line behind `history`: with the intent, when the row `asked` is one.

    Raises InputError when the backend reads no intents.
    """
    _check_read(backend, [asked])
    wanted = text_of(asked)
    return history if wanted is None else history.then(IntentSegment(wanted))


def suggest(
    backend: Backend,
    history: History,
    count: int,
    *,
    seed: int = 0,
    take: str = "main",
    temperature: float = 1.0,
    top_p: float = 1.0,
    control: Control | None = None,
) -> list[str]:
    """At most `count` different next plan lines, in the order sampled; the plan in force, if drawn, comes last.

    `history` ends at a boundary, or behind one with the intent that is asked for there (`asking`). Fewer come back when the
    model keeps repeating itself. The same arguments give the same list. Raises InputError for numbers out of range and
    Cancelled through `control`.
    """
    if not isinstance(count, int) or not 1 <= count <= SUGGEST_LIMIT:
        raise InputError(f"count is {shorten(count)}; allowed is a whole number from 1 to {SUGGEST_LIMIT}.")
    seed, temperature, top_p = validate("seed", seed), validate("temperature", temperature), validate("top_p", top_p)
    check = (control or Control()).check
    index, current = next_index(history.boundary), history.plan
    fresh: list[str] = []
    goes_on = False
    # Greedy sampling gives the same line every time.
    for attempt in range(SUGGEST_TRIES * count if temperature > 0 else 1):
        options = ThinkOptions(temperature, top_p, suggest_seed(seed, take, index, attempt))
        check()
        thinking = backend.think(history, options, check)
        thought = _complete(next((item for item in thinking if isinstance(item, Thought)), None))
        try:
            line = _model_line(thought)
        except TV2TVError:
            # One unusable sample of many: the others are still worth offering.
            continue
        if line is None or line == current:
            goes_on = goes_on or not thought.ended
        elif line not in fresh:
            fresh.append(line)
        if len(fresh) == count:
            return fresh
    return fresh + [current] if goes_on and current else fresh


def _chunk(
    request: GenerateRequest, control: Control, history: History, offset: int
) -> Generator[Event, None, History | Stop]:
    """One text segment (if any) and one chunk; returns the longer history or why there is none."""
    backend, spec = request.backend, request.backend.spec
    index, clock = next_index(history), _Clock()
    control.check()
    if control.pausing:
        return "paused"
    forced = request.plan[offset] if offset < len(request.plan) else None
    history = asking(backend, history, forced)
    with_text = yield from _text(request, control, history, None if text_of(forced) is not None else forced, clock)
    if with_text is None:
        return "ended"
    control.check()
    if control.pausing:
        # At BOF: the line is known and nothing is drawn yet. The next run thinks the same line again from its seed.
        return "paused"

    seed = noise_seed(request.seed, request.take, index)
    yield ChunkStarted(index, with_text.plan, float(index * spec.chunk_frames / spec.fps), seed)
    options = ActOptions(request.steps, request.guidance, seed, request.previews)
    chunk: ChunkSegment | None = None
    step = 0
    for item in clock.over(backend.act(with_text, index, options, control.check)):
        if isinstance(item, ChunkSegment):
            chunk = item
            break
        step += 1
        yield DenoisingStep(index, step, request.steps, item)
        control.check()
    _check_chunk(backend, chunk, index)
    grown = with_text.then(chunk)
    yield ChunkDone(index, chunk, grown, clock.seconds)
    return grown


def _text(
    request: GenerateRequest, control: Control, history: History, forced: str | None, clock: _Clock
) -> Generator[Event, None, History | None]:
    """The line before the next chunk; returns the history with its segment if one was written, None at EOS."""
    index = next_index(history.boundary)
    source: Source = request.author if forced else "model"
    if forced:
        line: str | None = forced
    else:
        options = ThinkOptions(request.temperature, request.top_p, think_seed(request.seed, request.take, index))
        thought: Thought | None = None
        for item in clock.over(request.backend.think(history, options, control.check)):
            if isinstance(item, Thought):
                thought = item
                break
            yield TextToken(index, item, forced=False)
            control.check()
        if _complete(thought).ended:
            return None
        line = _model_line(_complete(thought))
    # Text is written only where the plan changes: that is how the model was trained, whoever holds the pen.
    if line is None or line == history.plan:
        return history
    if forced:
        yield TextToken(index, line, forced=True)
    yield PlanDone(index, line, source)
    return history.then(TextSegment(line, source))


def _check_read(backend: Backend, rows: Sequence[str | None]) -> None:
    if not backend.spec.takes_intents and any(text_of(line) is not None for line in rows):
        raise InputError(f"{backend.spec.name} reads no intents: write plan lines, or choose another preset.")


class _Clock:
    """Adds up the time spent inside the backend, so that a slow consumer of events does not count."""

    def __init__(self) -> None:
        self.seconds = 0.0

    def over(self, items: Iterator[Item]) -> Iterator[Item]:
        """Pass `items` on and time how long each took to come."""
        while True:
            began = time.perf_counter()
            try:
                item = next(items)
            except StopIteration:
                return
            finally:
                self.seconds += time.perf_counter() - began
            yield item


def _complete(thought: Thought | None) -> Thought:
    if thought is None:
        raise RuntimeError("the backend stopped thinking without a Thought")
    return thought


def _model_line(thought: Thought) -> str | None:
    if thought.line is None or not thought.line.strip():
        return None
    try:
        if text_of(thought.line) is not None:
            raise InputError("An intent is for a person to write.")
        return check_line(thought.line)
    except InputError as error:
        raise TV2TVError(
            f"The model wrote no usable plan line ({len(thought.line)} characters; {MAX_LENGTH} printable ones are "
            "allowed): lower the temperature, or write this line yourself."
        ) from error


def _forced(line: str | None) -> str | None:
    return (check_line(line) or None) if line is not None else None


def _check_chunk(backend: Backend, chunk: ChunkSegment | None, index: int) -> None:
    spec = backend.spec
    if chunk is None:
        raise RuntimeError(f"backend {spec.name} stopped denoising chunk {index} without a chunk")
    shape = (spec.chunk_frames, spec.height, spec.width, 3)
    if chunk.index != index or chunk.frames.shape != shape or chunk.frames.dtype != np.uint8:
        raise RuntimeError(
            f"backend {spec.name} made chunk {chunk.index} of {chunk.frames.dtype} {chunk.frames.shape}; "
            f"asked for chunk {index} of uint8 {shape}"
        )
