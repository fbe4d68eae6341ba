"""Roll-outs: clips in which the model plans and acts by itself, and where in the recordings they begin."""

from __future__ import annotations

import random
from collections.abc import Callable, Sequence
from dataclasses import dataclass

import numpy as np

from tv2tv_core.data.shards import windows
from tv2tv_core.engine.backend import Backend
from tv2tv_core.engine.events import ChunkDone, ChunkStarted, Failed, PlanDone, TextToken
from tv2tv_core.engine.generate import GenerateRequest, generate
from tv2tv_core.errors import Cancelled, TV2TVError
from tv2tv_core.evaluate.language import readable
from tv2tv_core.evaluate.prediction import Recording
from tv2tv_core.plan import is_canonical
from tv2tv_core.settings import GenerationSettings


@dataclass(frozen=True, eq=False)
class RollOut:
    """One clip: `frames` uint8 [n, 4, H, W, 3]; `lines` [n] what the model wrote before each chunk.

    A line is None where BOF came straight away (the plan in force goes on). `unusable` tells that the model wrote
    something after the last chunk that cannot be a plan line at all, which ended the clip.
    """

    frames: np.ndarray
    lines: tuple[str | None, ...]
    unusable: bool = False


@dataclass(frozen=True)
class PlanShares:
    """What the model did where it could write a plan line: counts over all roll-outs."""

    chunks: int  # times that it was asked
    straight: int  # BOF straight away: the plan in force goes on
    written: int  # lines written
    readable: int  # of these, lines that `plan.parse` understands
    canonical: int  # of these, lines exactly as the grammar writes them
    distinct: int  # different lines

    @property
    def valid_share(self) -> float | None:
        """Share of readable lines among the written ones, in [0, 1]; None when none was written."""
        return self.readable / self.written if self.written else None

    @property
    def straight_share(self) -> float:
        """Share of chunks before which BOF came straight away, in [0, 1]."""
        return self.straight / max(1, self.chunks)


def roll_out(
    backend: Backend,
    start: np.ndarray,
    meta_prompt: str,
    chunks: int,
    settings: GenerationSettings,
    seed: int,
    on_chunk: Callable[[], None] = lambda: None,
) -> RollOut:
    """Let the model plan and act by itself for `chunks` chunks after the start chunk, uint8 [4, H, W, 3]."""
    request = GenerateRequest(
        backend,
        backend.begin(meta_prompt, start),
        chunks,
        seed=seed,
        steps=settings.steps,
        guidance=settings.guidance,
        temperature=settings.temperature,
        top_p=settings.top_p,
    )
    frames: list[np.ndarray] = []
    lines: list[str | None] = []
    typed, line, failed = "", None, False
    try:
        for event in generate(request):
            match event:
                case TextToken(text=text):
                    typed += text
                case PlanDone(line=written):
                    line = written
                case ChunkStarted():
                    # Text without a new plan is the plan in force, written once more.
                    lines.append(line if line is not None else typed.strip() or None)
                    typed, line = "", None
                case ChunkDone(chunk=chunk):
                    frames.append(chunk.frames)
                    on_chunk()
                case Failed(error=error):
                    failed = isinstance(error, TV2TVError) and not isinstance(error, Cancelled)
    except TV2TVError:
        # Only what the model itself wrote may end a roll-out; everything else is a fault to be seen.
        if not failed:
            raise
    spec = backend.spec
    clip = np.reshape(frames, (-1, spec.chunk_frames, spec.height, spec.width, 3)).astype(np.uint8)
    return RollOut(clip, tuple(lines[: len(frames)]), failed)


def plan_shares(rollouts: Sequence[RollOut]) -> PlanShares:
    """Counts over all lines of all roll-outs; what was unusable counts as written and not readable."""
    lines = [line for rollout in rollouts for line in rollout.lines]
    written = [line for line in lines if line is not None]
    unusable = sum(rollout.unusable for rollout in rollouts)
    return PlanShares(
        chunks=len(lines) + unusable,
        straight=len(lines) - len(written),
        written=len(written) + unusable,
        readable=sum(readable(line) for line in written),
        canonical=sum(is_canonical(line) for line in written),
        distinct=len(set(written)),
    )


def choose_windows(episodes: Sequence[Recording], length: int, count: int, seed: int) -> list[tuple[int, int]]:
    """At most `count` (episode, first chunk) of `length` chunks without a cut: one per episode, then a second one …

    The order is drawn by `seed`; a smaller `count` gives the beginning of the same list.
    """
    rng = random.Random(seed)
    by_episode: dict[int, list[int]] = {}
    for episode, first in windows(episodes, length):
        by_episode.setdefault(episode, []).append(first)
    order = list(by_episode)
    rng.shuffle(order)
    for episode in order:
        rng.shuffle(by_episode[episode])
    turns = [(turn, place, first) for place, episode in enumerate(order) for turn, first in enumerate(by_episode[episode])]
    return [(order[place], first) for _, place, first in sorted(turns)[:count]]
