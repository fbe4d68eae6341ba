"""The native backend: the TV2TV model itself behind the engine's protocol, with its cache addressed by segment."""

from __future__ import annotations

from collections import OrderedDict
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from fractions import Fraction
from functools import lru_cache

import cv2
import numpy as np
import torch
from torch import Tensor

from tv2tv_core.engine.backend import ActOptions, BackendSpec, ThinkOptions, Thought
from tv2tv_core.model.codec import Codec
from tv2tv_core.model.mot import Context, SegmentCache, join
from tv2tv_core.model.smollm2 import Tokenizer
from tv2tv_core.model.tv2tv import TV2TV, Guide
from tv2tv_core.timeline import ChunkSegment, History, TextSegment

FPS = Fraction(35, 2)
LINE_TOKENS = 48  # a plan line is 4 to 25 tokens; the rest is room for a person's words
REMEMBERED = 600  # segments whose cache is kept, about half a megabyte each


@dataclass(frozen=True)
class _Remembered:
    """A segment's cache and, behind a chunk, the text tower's last state: what the next token is sampled from."""

    cache: SegmentCache
    ahead: Tensor | None


class NativeBackend:
    """TV2TV on one device. Every result depends on history and options alone: caches only save time.

    A segment's keys and values are always computed in the same way, whether its text was sampled or typed, and whether
    it grew here or was read from a file; so a rewind, a fork or a reload gives the same bytes as an unbroken run.
    """

    def __init__(self, model: TV2TV, codec: Codec, tokenizer: Tokenizer, *, name: str, model_hash: str) -> None:
        self.model, self.codec, self.tokenizer = model, codec, tokenizer
        self.device = next(model.parameters()).device
        rows, columns = model.config.video.latent_shape[1:]
        self.spec = BackendSpec(
            name=name, chunk_frames=model.config.video.chunk_frames, fps=FPS, width=2 * columns, height=2 * rows,
            context=model.config.context, model_hash=model_hash,
        )
        self._memory: OrderedDict[History, _Remembered] = OrderedDict()
        self._begun: tuple[History, SegmentCache] | None = None
        self._prompt = lru_cache(maxsize=16)(self._run_prompt)
        self._summary = lru_cache(maxsize=256)(self._run_summary)

    # The protocol ---------------------------------------------------------------------------------------------------

    @torch.inference_mode()
    def begin(self, prompt: str, frames: np.ndarray) -> History:
        """Encode start frames, uint8 [T, H, W, 3] of any size; the last four count, a shorter start repeats its last."""
        size = (self.spec.width, self.spec.height)
        fitted = [cv2.resize(frame, size, interpolation=cv2.INTER_AREA) if frame.shape[1::-1] != size else frame
                  for frame in frames[-self.spec.chunk_frames :]]
        fitted = fitted + [fitted[-1]] * (self.spec.chunk_frames - len(fitted))
        stacked = np.stack(fitted)
        unit = torch.from_numpy(stacked).permute(0, 3, 1, 2)[None].float().div(127.5).sub(1).to(self.device)
        latents = self.codec.encode(unit)[0].cpu().numpy().astype(np.float16)
        return History(ChunkSegment(-1, stacked, latents), None, prompt)

    @torch.inference_mode()
    def think(self, history: History, options: ThinkOptions, check: Callable[[], None]) -> Iterator[str | Thought]:
        """Sample the next line token by token; BOF right away means that the plan in force goes on."""
        context = self._context(history)
        hidden = self._memory[history].ahead
        generator = torch.Generator().manual_seed(options.seed)
        bof = self.model.config.text.bof
        ids: list[int] = []
        shown = ""
        while len(ids) < LINE_TOKENS:
            check()
            token = self._sample(hidden, options, generator)
            if token == bof:
                break
            ids.append(token)
            text = self.tokenizer.decode(ids)
            if "\n" in text:
                break
            if len(text) > len(shown) and not text.endswith("\N{REPLACEMENT CHARACTER}"):
                yield text[len(shown) :]
                shown = text
            states, cache = self.model.mot.run_text(torch.tensor([[token]], device=self.device), context)
            self.model.mot.extend(context, cache)
            hidden = states[:, -1]
        line = " ".join(shown.split())
        yield Thought(None if line in ("", history.plan) else line)

    @torch.inference_mode()
    def act(self, history: History, index: int, options: ActOptions, check: Callable[[], None]
            ) -> Iterator[np.ndarray | ChunkSegment | None]:
        """Denoise the next chunk under the plan line in force, which the history holds."""
        check()
        context = self._context(history)
        self._begun = (history, self._run_bof(context))
        plans = self._plans(history.plan, options.guidance)
        guides = [self._guide(history, plan) for plan in plans]
        generator = torch.Generator().manual_seed(options.seed)
        noise = torch.randn(1, *self.model.config.video.latent_shape, generator=generator).to(self.device)
        x = noise
        for x, clean in self.model.denoise(noise, context, guides, plans, steps=options.steps,
                                           guidance=options.guidance):
            check()
            yield _pixels(clean.unflatten(1, (-1, 3))[0]) if options.previews else None
        # Half precision is what a project file keeps; the model goes on from exactly what is kept.
        kept = x.clamp(-1, 1).cpu().half()
        frames = _pixels(self.codec.decode(kept.float().to(self.device))[0])
        yield ChunkSegment(index, frames, kept[0].numpy(), options.seed)

    # What is in view ------------------------------------------------------------------------------------------------

    def _window(self, nodes: list[History]) -> list[History]:
        """The nodes in view behind the prompt: the last `context − 1` chunks and the text between them, and the plan in
        force even when it is older."""
        chunks, first = 0, len(nodes)
        for i in range(len(nodes) - 1, -1, -1):
            if isinstance(nodes[i].segment, ChunkSegment):
                if chunks == self.spec.context - 1:
                    break
                chunks, first = chunks + 1, i
            elif chunks < self.spec.context - 1:
                first = i
        view = nodes[first:]
        if not any(isinstance(node.segment, TextSegment) for node in view):
            older = [node for node in nodes[:first] if isinstance(node.segment, TextSegment)]
            view = older[-1:] + view
        return view

    def _context(self, history: History) -> Context:
        """Everything in view at the end of `history`, computing what is not remembered yet."""
        nodes = history.nodes()
        first = len(nodes)
        while first and not all(node in self._memory for node in self._window(nodes[:first])):
            first -= 1
        for i in range(first, len(nodes)):
            if nodes[i] not in self._memory:
                self._memory[nodes[i]] = self._remember(nodes[i], self._assemble(nodes[:i], history.prompt))
        context = self._assemble(nodes, history.prompt)
        while len(self._memory) > REMEMBERED:
            self._memory.popitem(last=False)
        return context

    def _assemble(self, nodes: list[History], prompt: str) -> Context:
        view = self._window(nodes)
        for node in view:
            self._memory.move_to_end(node)
        return self.model.mot.context([self._prompt(prompt), *(self._memory[node].cache for node in view)])

    def _remember(self, node: History, context: Context) -> _Remembered:
        segment = node.segment
        mot = self.model.mot
        if isinstance(segment, TextSegment):
            ids = torch.tensor([self.tokenizer.encode(segment.text)], device=self.device)
            return _Remembered(mot.run_text(ids, context)[1], None)
        if self._begun is not None and self._begun[0] is node.parent:
            begin = self._begun[1]  # acting has run this very token behind this very context
            mot.extend(context, begin)
        else:
            begin = self._run_bof(context)
        latents = torch.from_numpy(np.asarray(segment.latents, dtype=np.float32))[None].to(self.device)
        frames = self.model.remember(latents, context)
        mot.extend(context, frames)
        states, end = mot.run_text(torch.tensor([[mot.config.text.eof]], device=self.device), context)
        return _Remembered(join([begin, frames, end]), states[:, -1])

    def _run_bof(self, context: Context) -> SegmentCache:
        """Put BOF at the end of a context."""
        bof = torch.tensor([[self.model.config.text.bof]], device=self.device)
        cache = self.model.mot.run_text(bof, context)[1]
        self.model.mot.extend(context, cache)
        return cache

    def _run_prompt(self, prompt: str) -> SegmentCache:
        ids = [Tokenizer.bos, *self.tokenizer.encode(prompt + "\n")]
        return self.model.mot.run_text(torch.tensor([ids], device=self.device), Context())[1]

    # Thinking and acting, smaller parts -----------------------------------------------------------------------------

    def _sample(self, hidden: Tensor, options: ThinkOptions, generator: torch.Generator) -> int:
        """One token by temperature and nucleus sampling; EOF never, and the end of a clip is not the model's to choose."""
        logits = self.model.mot.logits(hidden)[0].cpu()
        logits[self.model.config.text.eof] = float("-inf")
        logits[self.model.config.text.eos] = float("-inf")
        if options.temperature == 0:
            return int(logits.argmax())
        probabilities = (logits / options.temperature).softmax(-1)
        ordered, index = probabilities.sort(descending=True)
        keep = ordered.cumsum(0) - ordered < options.top_p
        return int(index[torch.multinomial(ordered * keep, 1, generator=generator)])

    def _plans(self, line: str, guidance: float) -> list[Tensor | None]:
        """Summary of the plan in force, and of no plan at all where guidance needs it."""
        lines = [line] if guidance == 1.0 else [line, ""]
        return [None if self.model.reader is None else self._summary(text) for text in lines]

    def _run_summary(self, line: str) -> Tensor:
        ids = self.tokenizer.encode(line) or [0]
        states = self.model.line_states(torch.tensor([ids], device=self.device))
        valid = torch.full((1, len(ids)), bool(line), device=self.device)
        return self.model.read(states, valid)

    def _guide(self, history: History, plan: Tensor | None) -> Guide | None:
        if plan is None or self.model.motion is None:
            return None
        done = history
        while not isinstance(done.segment, ChunkSegment):
            done = done.parent
        last = torch.from_numpy(np.asarray(done.segment.latents, dtype=np.float32))[None].to(self.device)
        return self.model.guide(last, plan, self._summary(done.plan))


def _pixels(frames: Tensor) -> np.ndarray:
    """Frames [F, 3, H, W] in [-1, 1] as uint8 [F, H, W, 3]."""
    scaled = frames.float().add(1).mul(127.5).round().clamp(0, 255).byte()
    return np.ascontiguousarray(scaled.permute(0, 2, 3, 1).cpu().numpy())
