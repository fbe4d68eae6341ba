"""Stand-ins with the real contract: a backend that thinks and acts in milliseconds, without any model."""

from __future__ import annotations

import hashlib
import time
from collections.abc import Callable, Iterator
from fractions import Fraction

import numpy as np

from tv2tv_core.engine.backend import ActOptions, BackendSpec, ThinkOptions, Thought
from tv2tv_core.timeline import ChunkSegment, History, IntentSegment

LINES = (
    "stand",
    "run forward",
    "run forward, turn left 15",
    "walk strafe left, fire",
    "stand, turn right 45, use",
    "run back, jump",
)


class FakeBackend:
    """Frames and lines are hashes of (history, plan, seed, options): anything that leaks into them shows at once.

    `fail_at` = (chunk index, step) raises there; `end_at` = chunk index before which thinking ends the clip;
    `delay_s` is slept per token and per step; `line` makes every thought this text. The defaults have the shape of the
    model that ships; pretrained ones draw `chunk_frames` of 33 to 81 at 16 to 25 `fps`.
    """

    def __init__(
        self,
        width: int = 40,
        height: int = 24,
        *,
        fail_at: tuple[int, int] | None = None,
        end_at: int | None = None,
        delay_s: float = 0.0,
        line: str | None = None,
        chunk_frames: int = 4,
        fps: Fraction = Fraction(35, 2),
    ) -> None:
        self.spec = BackendSpec("fake", chunk_frames, fps, width, height, context=8, model_hash="0" * 64, takes_intents=True)
        self.fail_at = fail_at
        self.end_at = end_at
        self.delay_s = delay_s
        self.line = line
        self.thoughts = 0
        self.steps = 0

    def begin(self, prompt: str, frames: np.ndarray) -> History:
        """A start chunk made of the given frames, sampled to the fake's size and padded to one chunk."""
        rows = np.linspace(0, frames.shape[1] - 1, self.spec.height).astype(int)
        columns = np.linspace(0, frames.shape[2] - 1, self.spec.width).astype(int)
        small = frames[:, rows][:, :, columns]
        count = self.spec.chunk_frames
        padded = np.concatenate([np.repeat(small[:1], max(0, count - len(small)), axis=0), small[-count:]])
        return History(ChunkSegment(-1, padded, self._latents(padded)), prompt=prompt)

    def think(self, history: History, options: ThinkOptions, check: Callable[[], None]) -> Iterator[str | Thought]:
        """Words of one of `LINES`, or the plan in force goes on."""
        index = history.chunks[-1].index + 1
        seed = options.seed if options.temperature > 0 else 0
        draw = _digest(history, f"think {seed} {options.temperature} {options.top_p}")[0]
        check()
        self.thoughts += 1
        if self.end_at is not None and index >= self.end_at:
            yield Thought(None, ended=True)
            return
        if self.line is None and history.plan and draw % 2:
            yield Thought(None)
            return
        line = self.line if self.line is not None else LINES[draw // 2 % len(LINES)]
        for word in line.split(" "):
            check()
            time.sleep(self.delay_s)
            yield word + " "
        yield Thought(line)

    def act(
        self, history: History, index: int, options: ActOptions, check: Callable[[], None]
    ) -> Iterator[np.ndarray | None | ChunkSegment]:
        """Noise that follows from the history, drawn over a bar that moves with the index."""
        spec = self.spec
        key = _digest(history, f"act {index} {options.seed} {options.steps} {options.guidance}")
        shape = (spec.chunk_frames, spec.height, spec.width, 3)
        frames = np.random.default_rng(list(key)).integers(0, 96, shape, dtype=np.uint8)
        for z in range(spec.chunk_frames):
            frames[z, :, (index * spec.chunk_frames + z) % spec.width] = 255
        for step in range(1, options.steps + 1):
            check()
            time.sleep(self.delay_s)
            if self.fail_at == (index, step):
                raise RuntimeError("out of memory")
            self.steps += 1
            yield frames[:, ::2, ::2] if options.previews else None
        yield ChunkSegment(index, frames, self._latents(frames), options.seed)

    @staticmethod
    def _latents(frames: np.ndarray) -> np.ndarray:
        return frames.astype(np.float32).mean(axis=(1, 2)) / 255


class SettledBackend(FakeBackend):
    """Its line follows from all that it reads and from no random number: what it suggests is what it would write."""

    def think(self, history: History, options: ThinkOptions, check: Callable[[], None]) -> Iterator[str | Thought]:
        """A line for this history alone."""
        check()
        self.thoughts += 1
        yield Thought(f"stand, turn left {_digest(history, 'think').hex()}")


def _digest(history: History, salt: str) -> bytes:
    """Hash of everything on the path: prompt, lines and pixels."""
    digest = hashlib.sha256(f"{salt}\n{history.prompt}\n".encode())
    for segment in history:
        if isinstance(segment, IntentSegment):
            digest.update(b"intent: ")
        digest.update(segment.frames.tobytes() if isinstance(segment, ChunkSegment) else segment.text.encode())
    return digest.digest()
