"""Roll-outs: clips in which the model plans and acts by itself, beside real play that began at the same moment.

Two questions: are its plan lines lines, and do its frames still look like real ones after some seconds?
"""

from __future__ import annotations

import random
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from fractions import Fraction

import numpy as np

from tv2tv_core.data.shards import windows
from tv2tv_core.engine.backend import Backend
from tv2tv_core.engine.events import ChunkDone, ChunkStarted, Failed, PlanDone, TextToken
from tv2tv_core.engine.generate import GenerateRequest, generate
from tv2tv_core.errors import Cancelled, TV2TVError
from tv2tv_core.evaluate.prediction import Recording
from tv2tv_core.plan import PlanError, is_canonical, parse
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
        readable=sum(_readable(line) for line in written),
        canonical=sum(is_canonical(line) for line in written),
        distinct=len(set(written)),
    )


def _readable(line: str) -> bool:
    try:
        parse(line)
    except PlanError:
        return False
    return True


def repeated_share(episodes: Sequence[Recording]) -> float:
    """Share of chunks in recordings that repeat the line before: what `straight_share` should come near to."""
    pairs = [
        line == before
        for episode in episodes
        for before, line, cut in zip(episode.lines, episode.lines[1:], episode.cuts[1:], strict=False)
        if not cut
    ]
    return sum(pairs) / max(1, len(pairs))


def appearance(frames: np.ndarray) -> Mapping[str, np.ndarray]:
    """How frames look, whatever they show: float64 [n] per measure of uint8 frames [n, H, W, 3].

    sharpness: mean size of the brightness gradient, grey levels per pixel; brightness: mean, contrast: standard
    deviation of the grey levels (0 to 255); motion: mean change from the frame before (the first repeats the second).
    """
    grey = frames.astype(np.float64).mean(axis=-1)
    across, along = np.abs(np.diff(grey, axis=-1)), np.abs(np.diff(grey, axis=-2))
    change = np.abs(np.diff(grey, axis=0)).mean(axis=(1, 2)) if len(grey) > 1 else np.zeros(0)
    return {
        "sharpness": across.mean(axis=(1, 2)) + along.mean(axis=(1, 2)),
        "brightness": grey.mean(axis=(1, 2)),
        "contrast": grey.std(axis=(1, 2)),
        "motion": np.concatenate([change[:1], change]) if len(change) else np.zeros(len(grey)),
    }


def drift(made: Sequence[np.ndarray], real: Sequence[np.ndarray], fps: Fraction) -> dict[str, list[float]]:
    """Per measure of `appearance` and second: the mean over all roll-outs, divided by the same of real play.

    Both are clips uint8 [n, 4, H, W, 3]; 1 means like real play. Clips may differ in length; a last second that is not
    whole is left out.
    """
    of_made, of_real = _by_second(made, fps), _by_second(real, fps)
    # One grey level more on both sides: a dark, still second must not give an arbitrary number.
    return {
        name: [float((a + 1) / (b + 1)) for a, b in zip(of_made[name], of_real[name], strict=False)]
        for name in of_made
    }


def _by_second(clips: Sequence[np.ndarray], fps: Fraction) -> dict[str, list[float]]:
    found: dict[str, list[list[float]]] = {}
    for clip in clips:
        frames = clip.reshape(-1, *clip.shape[-3:])
        seconds = max(1, int(len(frames) / fps))
        for name, values in appearance(frames).items():
            bins = found.setdefault(name, [])
            for number, value in enumerate(values):
                second = int(number / fps)
                if second >= seconds:
                    break
                if second == len(bins):
                    bins.append([])
                bins[second].append(float(value))
    return {name: [float(np.mean(values)) for values in bins] for name, bins in found.items()}


def choose_windows(episodes: Sequence[Recording], length: int, count: int, seed: int) -> list[tuple[int, int]]:
    """At most `count` (episode, first chunk) of `length` chunks without a cut: one per episode, then a second one …"""
    rng = random.Random(seed)
    by_episode: dict[int, list[int]] = {}
    for episode, first in windows(episodes, length):
        by_episode.setdefault(episode, []).append(first)
    for firsts in by_episode.values():
        rng.shuffle(firsts)
    turns = [(turn, episode, first) for episode, firsts in by_episode.items() for turn, first in enumerate(firsts)]
    return [(episode, first) for _, episode, first in sorted(turns)[:count]]
