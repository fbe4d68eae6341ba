"""Backends for the tests of evaluation that act by a rule, and true futures without a game."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from functools import cache

import numpy as np

from tests.evaluate.recordings import Panning
from tests.fakes import FakeBackend
from tv2tv_core.engine.backend import ActOptions
from tv2tv_core.evaluate.moments import ACTIONS, STAND, Moment, Truth
from tv2tv_core.plan import parse
from tv2tv_core.timeline import ChunkSegment, History

LINES = tuple(ACTIONS.values())
BY_ACTION = {parse(line): line for line in LINES}


@cache
def future(moment_name: str, line: str, chunks: int) -> np.ndarray:
    """What `line` leads to from a moment, uint8 [chunks, 4, 96, 160, 3]: a camera panning through a room of its own."""
    seed = sum(moment_name.encode()) * 31 + LINES.index(line)
    return Panning.make(chunks=chunks, speed=1, seed=seed).frames


class FakeFutures:
    """`TrueFutures` of made-up rooms; `alike` actions lead to what standing leads to."""

    def __init__(self, folder: object = None, alike: Sequence[str] = ()) -> None:
        self.alike, self.asked, self.closed = set(alike), [], False

    def __call__(self, moment: Moment, chunks: Sequence[int]) -> Truth:
        self.asked.append(moment.name)
        lines = [ACTIONS[STAND] if name in self.alike else line for name, line in ACTIONS.items()]
        frames = np.stack([future(moment.name, line, max(chunks))[[chunk - 1 for chunk in chunks]] for line in lines])
        return Truth(LINES, tuple(chunks), frames, np.zeros(len(LINES), bool))

    def close(self) -> None:
        self.closed = True


class Actor(FakeBackend):
    """A backend of the usual size whose frames are `rule(history, index)`, uint8 [4, 96, 160, 3]."""

    def __init__(self, rule: Callable[[History, int], np.ndarray], **options: object) -> None:
        super().__init__(160, 96, **options)
        self.rule = rule

    def act(
        self, history: History, index: int, options: ActOptions, check: Callable[[], None]
    ) -> Iterator[np.ndarray | None | ChunkSegment]:
        """One step and the frames of the rule."""
        check()
        self.steps += 1
        yield None
        frames = self.rule(history, index)
        yield ChunkSegment(index, frames, self._latents(frames), options.seed)


def oracle(moment_name: str, first: int) -> Actor:
    """Makes the true future of the line in force at a moment that lies before chunk `first`, in any words."""
    return Actor(lambda history, index: future(moment_name, BY_ACTION[parse(history.plan)], 4)[max(0, index - first)])


def deaf(moment_name: str) -> Actor:
    """Makes the same picture whatever is written."""
    return Actor(lambda history, index: future(moment_name, "run back", 4)[index % 4])
