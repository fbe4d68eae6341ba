"""The native backend: the TV2TV model itself behind the engine's protocol, with its cache addressed by segment."""

from __future__ import annotations

import weakref
from collections.abc import Callable, Iterator
from functools import lru_cache, partial

import cv2
import numpy as np
import torch
from torch import Tensor

from tv2tv_core.engine.backend import ActOptions, BackendSpec, ThinkOptions, Thought
from tv2tv_core.engine.describe import FPS, PIXELS
from tv2tv_core.engine.memory import Remembered, SegmentMemory, era_of
from tv2tv_core.intent import as_read
from tv2tv_core.model.codec import PixelCodec
from tv2tv_core.model.mot import Context, SegmentCache, join
from tv2tv_core.model.motion import PASTS
from tv2tv_core.model.smollm2 import Tokenizer
from tv2tv_core.model.tv2tv import TV2TV, Guide
from tv2tv_core.model.views import View
from tv2tv_core.plan import MAX_LENGTH, plainly
from tv2tv_core.timeline import ChunkSegment, History, IntentSegment, TextSegment

VIEWS = 32  # chunks before the last, 7.3 s, that are looked through for what comes into view again
LINE_TOKENS = 48  # a plan line is 4 to 25 tokens; the rest is room for a person's words


class NativeBackend:
    """TV2TV on one device. Every result depends on history and options alone: caches only save time.

    A segment's keys and values are always computed in the same way, whether its text was sampled or typed, and whether
    it grew here or was read from a file; so a rewind, a fork or a reload gives the same bytes as an unbroken run.
    Plan lines are read as the grammar understands them: "sprint ahead, please" is "run forward" to the model. Words that the
    grammar does not know are the model's own to understand.
    """

    def __init__(self, model: TV2TV, codec: PixelCodec, tokenizer: Tokenizer, *, name: str, model_hash: str) -> None:
        self.model, self.codec, self.tokenizer = model, codec, tokenizer
        self.device = next(model.parameters()).device
        rows, columns = model.config.video.latent_shape[1:]
        self.spec = BackendSpec(
            name=name, chunk_frames=model.config.video.chunk_frames, fps=FPS, width=PIXELS * columns, height=PIXELS * rows,
            context=model.config.context - 1, model_hash=model_hash, takes_intents=True,
        )
        self._begun: tuple[Callable[[], History | None], int, SegmentCache | None] = (lambda: None, 0, None)
        self._memory = SegmentMemory(model.mot, self._encode, lru_cache(maxsize=16)(self._run_prompt), self.spec.context)
        self._summary = lru_cache(maxsize=256)(self._run_summary)
        self._views: weakref.WeakKeyDictionary[History, dict[str, View]] = weakref.WeakKeyDictionary()  # by chunk, next line
        self._plain: weakref.WeakKeyDictionary[ChunkSegment, Tensor] = weakref.WeakKeyDictionary()  # decoded last frames

    # The protocol ---------------------------------------------------------------------------------------------------

    @torch.inference_mode()
    def begin(self, prompt: str, frames: np.ndarray) -> History:
        """Encode start frames, uint8 [T, H, W, 3] of any size; the last four count, a shorter start repeats its last."""
        size = (self.spec.width, self.spec.height)
        fitted = [cv2.resize(frame, size, interpolation=cv2.INTER_AREA) if frame.shape[1::-1] != size else frame
                  for frame in frames[-self.spec.chunk_frames :]]
        fitted = fitted + [fitted[-1]] * (self.spec.chunk_frames - len(fitted))
        stacked = np.stack(fitted)
        latents = self.codec.encode(_unit(stacked)[None].to(self.device))[0].cpu().numpy().astype(np.float16)
        return History(ChunkSegment(-1, stacked, latents), None, prompt)

    @torch.inference_mode()
    def think(self, history: History, options: ThinkOptions, check: Callable[[], None]) -> Iterator[str | Thought]:
        """Sample the next line token by token; BOF right away means that the plan in force goes on."""
        context, hidden = self._memory.context(history, check)
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
            if not text.endswith("\N{REPLACEMENT CHARACTER}"):
                if len(text) > MAX_LENGTH or not text.isprintable():
                    break  # what stands so far is a line; more would not be one
                if len(text) > len(shown):
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
        context, _ = self._memory.context(history, check)
        self._begun = (weakref.ref(history), era_of(history), self._run_bof(context))
        plans = self._plans(history.plan, options.guidance)
        guides = [self._guide(history, line, plan) for line, plan in zip((history.plan, ""), plans, strict=False)]
        generator = torch.Generator().manual_seed(options.seed)
        noise = torch.randn(1, *self.model.config.video.latent_shape, generator=generator).to(self.device)
        x = noise
        for x, clean in self.model.denoise(noise, context, guides, plans, steps=options.steps,
                                           guidance=options.guidance):
            check()
            yield _pixels(clean.unflatten(1, (-1, 3))[0]) if options.previews else None
        # Half precision is what a project file keeps; the model goes on from exactly what is kept.
        kept = x.clamp(-1, 1).cpu().half()
        reference = None if guides[0] is None else guides[0].reference
        plain, frames = self.codec.decode_with(kept.float().to(self.device), reference)
        chunk = ChunkSegment(index, _pixels(frames[0]), kept[0].numpy(), options.seed)
        self._plain[chunk] = plain[:, -1].clone()
        yield chunk

    # What the memory asks for ---------------------------------------------------------------------------------------

    def _encode(self, node: History, context: Context) -> Remembered:
        """Run one segment at the end of a context, always in the same way, whoever made it."""
        segment, mot = node.segment, self.model.mot
        if isinstance(segment, TextSegment):
            ids = torch.tensor([self.tokenizer.encode(plainly(segment.text))], device=self.device)
            return Remembered(mot.run_text(ids, context)[1], None)
        if isinstance(segment, IntentSegment):
            ids = torch.tensor([self.tokenizer.encode(as_read(segment.text))], device=self.device)
            states, cache = mot.run_text(ids, context)
            return Remembered(cache, states[:, -1])
        begun, era, bof = self._begun
        if begun() is node.parent is not None and era == era_of(node):
            mot.extend(context, bof)  # acting has run this very token behind this very context
        else:
            bof = self._run_bof(context)
        frames = self.model.remember(self._latents(node.segment), context)
        mot.extend(context, frames)
        states, end = mot.run_text(torch.tensor([[mot.config.text.eof]], device=self.device), context)
        return Remembered(join([bof, frames, end]), states[:, -1])

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
        ids = self.tokenizer.encode(plainly(line)) or [0]
        states = self.model.line_states(torch.tensor([ids], device=self.device))
        valid = torch.full((1, len(ids)), bool(line), device=self.device)
        return self.model.read(states, valid)

    def _guide(self, history: History, line: str, plan: Tensor | None) -> Guide | None:
        if plan is None or self.model.motion is None:
            return None
        done = history.boundary
        return self.model.guide(self._latents(done.segment), plan, self._pasts(done), self._seen(done, line))

    def _latents(self, chunk: ChunkSegment) -> Tensor:
        return torch.from_numpy(np.asarray(chunk.latents, dtype=np.float32))[None].to(self.device)

    def _seen(self, done: History, line: str) -> list[View]:
        """Views of the chunks up to the one that ends `done`, which goes on under `line`; the oldest first."""
        views = [self._view(done, line)]
        while done.parent is not None and len(views) <= VIEWS:
            done, line = done.parent.boundary, done.plan
            views.append(self._view(done, line))
        return views[::-1]

    def _view(self, done: History, line: str) -> View:
        known = self._views.setdefault(done, {})
        if line not in known:
            known[line] = self.model.view(self._latents(done.segment), self._summary(line), self._summary(done.plan),
                                          partial(self._lost, done.segment))
            while len(self._views) > 8 * VIEWS:
                self._views.pop(next(iter(self._views)), None)
        return known[line]

    def _lost(self, chunk: ChunkSegment) -> Tensor:
        """What the latents alone do not give back of a chunk's last frame as it stands, [1, 3, height, width]."""
        plain = self._plain.get(chunk)
        if plain is None:
            plain = self.codec.decode(self._latents(chunk))[:, -1]
        return _unit(chunk.frames[-1:]).to(self.device) - plain

    def _pasts(self, done: History) -> Tensor:
        """Summaries [1, PASTS, plan_width] of the plans up to the chunk that ends `done`; "" stands before the first."""
        lines, node = [], done
        while node is not None and len(lines) < PASTS:
            lines.append(node.plan)
            node = None if node.parent is None else node.parent.boundary
        lines += [""] * (PASTS - len(lines))
        return torch.stack([self._summary(line) for line in lines], 1)


def _unit(frames: np.ndarray) -> Tensor:
    """Frames uint8 [F, H, W, 3] as [F, 3, H, W] in [-1, 1]."""
    return torch.from_numpy(np.ascontiguousarray(frames)).permute(0, 3, 1, 2).float().div(127.5).sub(1)


def _pixels(frames: Tensor) -> np.ndarray:
    """Frames [F, 3, H, W] in [-1, 1] as uint8 [F, H, W, 3]."""
    scaled = frames.float().add(1).mul(127.5).round().clamp(0, 255).byte()
    return np.ascontiguousarray(scaled.permute(0, 2, 3, 1).cpu().numpy())
