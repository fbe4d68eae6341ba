"""A native backend small enough for tests, and stories that it makes."""

from __future__ import annotations

import numpy as np
import torch

from tests.model.tiny import tiny_model
from tv2tv_core.engine.control import Control
from tv2tv_core.engine.events import Finished
from tv2tv_core.engine.generate import GenerateRequest, generate
from tv2tv_core.engine.native import NativeBackend
from tv2tv_core.model.codec import PixelCodec
from tv2tv_core.timeline import ChunkSegment, History


class LetterTokenizer:
    """One id per letter, within the tiny model's vocabulary; the same interface as the real tokenizer."""

    letters = "abcdefghijklmnopqrstuvwxyz ,0123456789"

    def encode(self, text: str) -> list[int]:
        return [3 + self.letters.index(c) for c in text if c in self.letters]

    def decode(self, ids: list[int]) -> str:
        return "".join(self.letters[(i - 3) % len(self.letters)] for i in ids)


def backend(seed: int = 0, *, given: bool = False) -> NativeBackend:
    """`given`: with another codec for what stands behind given frames."""
    torch.manual_seed(seed)
    codecs = [PixelCodec(8, 8, 1, reference=True).eval() for _ in range(1 + given)]
    for codec in codecs:
        for parameter in codec.parameters():  # so little that pictures stay between black and white
            parameter.data += 0.03 * torch.randn(parameter.shape)
        codec.requires_grad_(False).to(memory_format=torch.channels_last)  # as `engine.load` has it
    model = tiny_model().requires_grad_(False)
    return NativeBackend(model, codecs[0], LetterTokenizer(), name="tiny", model_hash="0",
                         given_codec=codecs[1] if given else None)


def start(b: NativeBackend) -> History:
    frames = np.random.default_rng(0).integers(0, 256, (4, 32, 48, 3), dtype=np.uint8)
    return b.begin("a tiny world", frames)


def grow(b: NativeBackend, history: History, chunks: int, plan: tuple[str | None, ...] = ()) -> History:
    request = GenerateRequest(backend=b, history=history, chunks=chunks, plan=plan, seed=5, steps=2)
    *_, last = generate(request, Control())
    assert isinstance(last, Finished) and last.reason == "length"
    return last.history


def told(history: History) -> list[str]:
    return [s.frames.tobytes() if isinstance(s, ChunkSegment) else s.text for s in history]


def relived(history: History) -> History:
    """The same story in new nodes, as read from a file: no cache can know it."""
    node: History | None = None
    for segment in history:
        node = History(segment, node, history.prompt)
    return node
