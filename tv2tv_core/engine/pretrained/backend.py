"""The pretrained backend: a planner that writes the next line and a renderer that draws it, behind the engine's protocol."""

from __future__ import annotations

import weakref
from collections.abc import Callable, Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor
from typing import TypeVar

import numpy as np
import torch

from tv2tv_core.engine.backend import ActOptions, ThinkOptions, Thought
from tv2tv_core.engine.describe import recipe_spec
from tv2tv_core.engine.pretrained.colour import Look, first_look, look_of, match_colour
from tv2tv_core.engine.pretrained.fit import Plan
from tv2tv_core.engine.pretrained.past import moving_part
from tv2tv_core.engine.pretrained.planner import Planner
from tv2tv_core.engine.pretrained.renderers.base import Drawn, Renderer, Shot
from tv2tv_core.engine.pretrained.stream import Ended, stream
from tv2tv_core.errors import TV2TVError
from tv2tv_core.media.images import fit_frame
from tv2tv_core.timeline import ChunkSegment, History

Result = TypeVar("Result")


class PretrainedBackend:
    """Two pretrained models as one backend. Results depend on history and options alone, as long as the plan in memory
    stays the same: tiles and half precision round differently.

    `plans` are the ways to lay the pipeline out in memory, the best first; when memory runs out, the next one is taken.
    """

    def __init__(self, planner: Planner, renderer: Renderer, plans: Sequence[Plan], *, name: str) -> None:
        self.planner, self.renderer = planner, renderer
        self.spec = recipe_spec(name, renderer.recipe)
        self.plans = list(plans)
        self._worker = ThreadPoolExecutor(1, thread_name_prefix="renderer")  # one pipeline, one call at a time
        self._looks: weakref.WeakKeyDictionary[History, Look] = weakref.WeakKeyDictionary()
        self._worker.submit(self._load).result()

    # The protocol ---------------------------------------------------------------------------------------------------

    def begin(self, prompt: str, frames: np.ndarray) -> History:
        """A start chunk from frames, uint8 [T, H, W, 3] of any size: the last ones count, a shorter start repeats its last.

        One flat colour starts from text alone.
        """
        spec = self.spec
        fitted = np.stack([fit_frame(frame, spec.width, spec.height) for frame in frames[-spec.chunk_frames :]])
        filled = np.concatenate([fitted, np.repeat(fitted[-1:], spec.chunk_frames - len(fitted), axis=0)])
        latents = self._worker.submit(self._with_less, lambda: self.renderer.encode_start(filled)).result()
        return History(ChunkSegment(-1, filled, latents), None, prompt)

    def think(self, history: History, options: ThinkOptions, check: Callable[[], None]) -> Iterator[str | Thought]:
        """The planner's next line, token by token."""
        seconds = float(self.spec.chunk_frames / self.spec.fps)
        return self.planner.think(history, seconds, options, check)

    def act(
        self, history: History, index: int, options: ActOptions, check: Callable[[], None]
    ) -> Iterator[np.ndarray | ChunkSegment | None]:
        """Draw the next chunk. There are no previews: decoding one would take as long as several steps."""
        check()

        def render(stepped: Callable[[], None], guarded: Callable[[], None]) -> Drawn:
            prompt = ". ".join(part.strip().rstrip(".") for part in (history.prompt, history.plan) if part.strip())
            shot = Shot(history, prompt, options.steps, options.guidance, options.seed, stepped, guarded)
            return self._with_less(lambda: self.renderer.render(shot))

        drawn: Drawn | None = None
        told = 0
        for item in stream(self._worker, render, check):
            if isinstance(item, Ended):
                drawn = item.value
            elif told < options.steps:  # a second try after memory ran out tells its steps again
                told += 1
                yield None
        assert drawn is not None, "a stream ends with a result or an error"
        yield ChunkSegment(index, self._coloured(history, drawn.frames), drawn.latents, options.seed)

    # Beyond it ------------------------------------------------------------------------------------------------------

    def close(self) -> None:
        """Free the memory of both models; the backend is of no use afterwards."""
        self._worker.submit(self.renderer.unload).result()
        self._worker.shutdown()
        self.planner.unload()

    def _with_less(self, work: Callable[[], Result]) -> Result:
        """`work`, again under the next smaller plan whenever memory runs out. Raises TV2TVError after the smallest."""
        while True:
            try:
                return work()
            except torch.OutOfMemoryError:
                pass  # handled below: while the error lives, it holds on to what filled the memory
            self._next_plan()
            self._load()

    def _load(self) -> None:
        """Load under the best plan that fits."""
        while True:
            try:
                return self.renderer.load(self.plans[0])
            except torch.OutOfMemoryError:
                pass  # as above
            self._next_plan()

    def _next_plan(self) -> None:
        if len(self.plans) == 1:
            raise TV2TVError(
                f"The GPU's memory does not suffice for {self.spec.width} x {self.spec.height} even with the smallest layout. "
                "Close other programs that use it, or choose a smaller preset."
            )
        self.plans.pop(0)

    def _coloured(self, history: History, frames: np.ndarray) -> np.ndarray:
        node = first_look(history) if self.renderer.recipe.match_colour else None
        if node is None:
            return frames
        if node not in self._looks:
            self._looks[node] = look_of(moving_part(node.segment.frames))
        return match_colour(frames, self._looks[node])
