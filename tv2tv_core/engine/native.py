"""The native backend: the TV2TV model itself behind the engine's protocol, with its cache addressed by segment."""

from __future__ import annotations

import weakref
from collections.abc import Callable, Iterator
from dataclasses import replace
from functools import lru_cache, partial

import cv2
import numpy as np
import torch
from torch import Tensor

from tv2tv_core.engine.backend import ActOptions, BackendSpec, ThinkOptions, Thought
from tv2tv_core.engine.describe import FPS, PIXELS
from tv2tv_core.engine.memory import Remembered, SegmentMemory
from tv2tv_core.intent import as_read
from tv2tv_core.model.codec import PixelCodec
from tv2tv_core.model.mot import Context, cut, join
from tv2tv_core.model.motion import PASTS
from tv2tv_core.model.smollm2 import Tokenizer
from tv2tv_core.model.tv2tv import TV2TV, Guide
from tv2tv_core.model.views import View
from tv2tv_core.plan import MAX_LENGTH, plainly
from tv2tv_core.plan_guess import whole_line
from tv2tv_core.timeline import ChunkSegment, History, IntentSegment, TextSegment

VIEWS = 32  # chunks before the last, 7.3 s, that are looked through for what comes into view again
NUCLEUS = 512  # tokens among which nucleus sampling looks first
LINE_TOKENS = 48  # a plan line is 4 to 25 tokens; the rest is room for a person's words


class NativeBackend:
    """TV2TV on one device. Every result depends on history and options alone: caches only save time.

    A segment's keys and values are always computed in the same way, whether its text was sampled or typed, and whether
    it grew here or was read from a file; so a rewind, a fork or a reload gives the same bytes as an unbroken run.
    Plan lines are read as the grammar understands them: "sprint ahead, please" is "run forward" to the model. Words that the
    grammar does not know are the model's own to understand.
    """

    def __init__(self, model: TV2TV, codec: PixelCodec, tokenizer: Tokenizer, *, name: str, model_hash: str,
                 given_codec: PixelCodec | None = None) -> None:
        """`given_codec` decodes what stands right behind frames that were given, whose latents nothing has worn yet; `codec`
        all else, and that too where there is none."""
        self.model, self.codec, self.tokenizer = model, codec, tokenizer
        self.given_codec = given_codec or codec
        self.device = next(model.parameters()).device
        rows, columns = model.config.video.latent_shape[1:]
        self.spec = BackendSpec(
            name=name, chunk_frames=model.config.video.chunk_frames, fps=FPS, width=PIXELS * columns, height=PIXELS * rows,
            context=model.config.context - 1, model_hash=model_hash, takes_intents=True,
        )
        self._written: tuple[Remembered | None, list[int], Remembered | None] = (None, [], None)
        self._memory = SegmentMemory(model.mot, self._encode, lru_cache(maxsize=16)(self._run_prompt), self.spec.context)
        self._summary = lru_cache(maxsize=256)(self._run_summary)
        self._views: weakref.WeakKeyDictionary[History, dict[str, View]] = weakref.WeakKeyDictionary()  # by chunk, next line
        self._plain: weakref.WeakKeyDictionary[ChunkSegment, Tensor] = weakref.WeakKeyDictionary()  # by `codec`: last frames

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
        """Sample the next line token by token; BOF right away means that the plan in force goes on.

        A line that has begun is run as a whole, as it will most likely end, and again when another token is sampled than was
        guessed (speculative decoding, 2211.17192): every token is still sampled from what the model says behind those before.
        """
        context, last = self._memory.context(history, check)
        scores = self.model.mot.logits(last.ahead)
        generator = torch.Generator().manual_seed(options.seed)
        bof = self.model.config.text.bof
        ids: list[int] = []
        guess: list[int] = []
        shown = ""
        while len(ids) < LINE_TOKENS:
            check()
            token = self._sample(scores[len(ids)], options, generator)
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
            if guess[: len(ids)] != ids:
                guess = self._guess(ids, text)
                entry, states = self._run_text(guess, context)
                scores = self.model.mot.logits(torch.cat((last.ahead, states)))
                self._written = (last, guess, entry)
        line = " ".join(shown.split())
        yield Thought(None if line in ("", history.plan) else line)

    @torch.inference_mode()
    def act(self, history: History, index: int, options: ActOptions, check: Callable[[], None]
            ) -> Iterator[np.ndarray | ChunkSegment | None]:
        """Denoise the next chunk under the plan line in force, which the history holds."""
        check()
        context, last = self._memory.context(history, check)
        self.model.mot.extend(context, last.bof)
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
        codec = self._codec_behind(history.boundary)
        plain, frames = codec.decode_with(kept.float().to(self.device), reference)
        chunk = ChunkSegment(index, _pixels(frames[0]), kept[0].numpy(), options.seed)
        if codec is self.codec:
            self._plain[chunk] = plain[:, -1].clone()
        yield chunk

    # What the memory asks for ---------------------------------------------------------------------------------------

    def _encode(self, node: History, context: Context, before: Remembered) -> Remembered:
        """Run one segment at the end of a context, always in the same way, whoever made it."""
        segment, mot = node.segment, self.model.mot
        if isinstance(segment, TextSegment):
            ids = self.tokenizer.encode(plainly(segment.text))
            behind, written, entry = self._written
            # Thinking may have run this very block behind this very entry.
            return entry if behind is before and written == ids else self._run_text(ids, context)[0]
        if isinstance(segment, IntentSegment):
            return self._run_text(self.tokenizer.encode(as_read(segment.text)), context)[0]
        mot.extend(context, before.bof)
        frames = self.model.remember(self._latents(node.segment), context)
        mot.extend(context, frames)
        end, _ = self._run_text([mot.config.text.eof], context)
        return Remembered(join([before.bof, frames, end.cache]), end.ahead, end.bof)

    def _run_prompt(self, prompt: str) -> Remembered:
        return self._run_text([Tokenizer.bos, *self.tokenizer.encode(prompt + "\n")], Context())[0]

    def _run_text(self, ids: list[int], context: Context) -> tuple[Remembered, Tensor]:
        """Run text and, in the same block, the BOF that may follow it; the states [len(ids), width] of the text come along."""
        block = torch.tensor([[*ids, self.model.config.text.bof]], device=self.device)
        states, cache = self.model.mot.run_text(block, context)
        text, bof = cut(cache, len(ids))
        return Remembered(text, states[:, len(ids) - 1], bof), states[0, :-1]

    # Thinking and acting, smaller parts -----------------------------------------------------------------------------

    def _guess(self, ids: list[int], text: str) -> list[int]:
        """A line that begins with these tokens, whose text is `text`; they alone decide which."""
        whole = self.tokenizer.encode(whole_line(text))
        return whole if whole[: len(ids)] == ids else list(ids)

    def _sample(self, logits: Tensor, options: ThinkOptions, generator: torch.Generator) -> int:
        """One token by temperature and nucleus sampling from logits [vocab + 2]; EOF never, and the end of a clip is not the
        model's to choose."""
        logits = logits.cpu().clone()
        logits[self.model.config.text.eof] = float("-inf")
        logits[self.model.config.text.eos] = float("-inf")
        if options.temperature == 0:
            return int(logits.argmax())
        probabilities = (logits / options.temperature).softmax(-1)
        ordered, index = probabilities.topk(min(NUCLEUS, len(logits)))
        if ordered.sum() < options.top_p:  # sorting the whole vocabulary takes long and is seldom needed
            ordered, index = probabilities.sort(descending=True)
        weights = torch.zeros_like(probabilities)
        weights[: len(ordered)] = ordered * (ordered.cumsum(0) - ordered < options.top_p)
        return int(index[torch.multinomial(weights, 1, generator=generator)])

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
        return self.model.guide(self._latents(done.segment), plan, self._pasts(done), self._seen(done, line), _given(done))

    def _latents(self, chunk: ChunkSegment) -> Tensor:
        return torch.from_numpy(np.asarray(chunk.latents, dtype=np.float32))[None].to(self.device)

    def _seen(self, done: History, line: str) -> list[View]:
        """Views of the chunks up to the one that ends `done`, which goes on under `line`; the oldest first."""
        codec = self._codec_behind(done)
        views = [self._view(done, line, codec)]
        while done.parent is not None and len(views) <= VIEWS:
            done, line = done.parent.boundary, done.plan
            views.append(self._view(done, line, codec))
        return views[::-1]

    def _view(self, done: History, line: str, codec: PixelCodec) -> View:
        known = self._views.setdefault(done, {})
        if line not in known:
            known[line] = self.model.view(self._latents(done.segment), self._summary(line), self._summary(done.plan))
            while len(self._views) > 8 * VIEWS:
                self._views.pop(next(iter(self._views)), None)
        # Not kept: a view must not hold the frames of a chunk that its story may let go.
        return replace(known[line], detail=partial(self._lost, done.segment, codec))

    def _codec_behind(self, done: History) -> PixelCodec:
        """What decodes the chunk behind the one that ends `done`."""
        return self.given_codec if _given(done) else self.codec

    def _lost(self, chunk: ChunkSegment, codec: PixelCodec) -> Tensor:
        """What `codec` does not give back of a chunk's last frame from its latents alone, [1, 3, height, width]."""
        plain = self._plain.get(chunk) if codec is self.codec else None
        if plain is None:
            plain = codec.decode(self._latents(chunk))[:, -1]
        return _unit(chunk.frames[-1:]).to(self.device) - plain

    def _pasts(self, done: History) -> Tensor:
        """Summaries [1, PASTS, plan_width] of the plans up to the chunk that ends `done`; "" stands before the first."""
        lines, node = [], done
        while node is not None and len(lines) < PASTS:
            lines.append(node.plan)
            node = None if node.parent is None else node.parent.boundary
        lines += [""] * (PASTS - len(lines))
        return torch.stack([self._summary(line) for line in lines], 1)


def _given(done: History) -> bool:
    """Whether the chunk that ends `done` was given, not made."""
    return done.segment.seed is None


def _unit(frames: np.ndarray) -> Tensor:
    """Frames uint8 [F, H, W, 3] as [F, 3, H, W] in [-1, 1]."""
    return torch.from_numpy(np.ascontiguousarray(frames)).permute(0, 3, 1, 2).float().div(127.5).sub(1)


def _pixels(frames: Tensor) -> np.ndarray:
    """Frames [F, 3, H, W] in [-1, 1] as uint8 [F, H, W, 3]."""
    scaled = frames.float().add(1).mul(127.5).round().clamp(0, 255).byte()
    return np.ascontiguousarray(scaled.permute(0, 2, 3, 1).cpu().numpy())
