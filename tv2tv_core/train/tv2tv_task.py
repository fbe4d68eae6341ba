"""Third stage: whole windows through both towers, λ_text · cross-entropy + λ_video · velocity error."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path

import numpy as np
import torch
import torch.nn.functional as F
from torch import Tensor, nn

from tv2tv_core.errors import InputError
from tv2tv_core.evaluate.lpips import Lpips
from tv2tv_core.model import flow, rotary
from tv2tv_core.model.motion import PASTS
from tv2tv_core.model.smollm2 import Tokenizer
from tv2tv_core.model.stem import UNetStem
from tv2tv_core.model.tv2tv import TV2TV, Guide
from tv2tv_core.model.window import TextPrefix, TextStream, lay_out, run_prefix, run_window
from tv2tv_core.train.footage import Footage
from tv2tv_core.train.layout import NOT_ASKED, Layout, TextLayout
from tv2tv_core.train.lines import LineTable
from tv2tv_core.train.losses import perceptual_loss
from tv2tv_core.train.trainer import ParameterGroup


@dataclass(frozen=True)
class WindowConfig:
    """What a window step is made of.

    `text_weight`: λ_text (0 freezes the text tower entirely); `video_weight`: λ_video (0 freezes the video side entirely: only
    the text side learns, several times as fast). `own_history`: share of steps whose history is the model's own prediction in
    `own_steps` steps. `train_stem` False leaves a trained U-Net stem as it
    is and only lets the towers join it. `spoken`: share of lines in a person's wording; `intent_share`: share of windows with
    an intent above one of their lines (interleaved text alone); other names as in StemConfig.
    `text`: where the text stands, see `layout.py`; with `none` no plan is known to anything and no text is learnt.
    """

    text: Layout = "interleaved"
    batch: int = 2
    text_weight: float = 0.5
    video_weight: float = 1.0
    perceptual_weight: float = 0.2
    text_lr: float = 1.0
    train_stem: bool = True
    flip: float = 0.5
    history_noise: float = 0.2
    own_history: float = 0.3
    own_steps: int = 1
    plan_dropout: float = 0.1
    time_shift: float = -0.8
    from_noise: float = 0.5
    spoken: float = 0.3
    intent_share: float = 0.5
    paraphrases: int = 5


@dataclass(frozen=True)
class Window:
    """One batch: latents [B, N + 1, C, H, W], plan summaries [B * N, P] of each predicted chunk and
    [B * N, PASTS, P] of those before it (None without motion), and the text around them."""

    latents: Tensor
    plan: Tensor | None
    pasts: Tensor | None
    stream: TextStream
    prefix: TextPrefix


class WindowTask:
    """The task for the trainer; see WindowConfig. Motion and plan reader stay as the first stage left them."""

    name = "tv2tv"

    def __init__(self, model: TV2TV, config: WindowConfig, data: Path, run_dir: Path) -> None:
        self.model, self.config = model, config
        self.chunks = model.config.context - 1  # predicted ones; one more stands before them
        self.samples_per_micro = config.batch * self.chunks
        self.train = Footage.load(data, "train", run_dir)
        self.held_out = Footage.load(data, "heldout", run_dir)
        self.lines = LineTable(model, self.train.lines + self.held_out.lines, config.paraphrases)
        self.starts = self.train.windows(self.chunks + 1)
        self.tokenizer = Tokenizer.load()
        self.layout = TextLayout(config.text, model.config.text, self.tokenizer, self.lines)
        self.learns_text = bool(config.text_weight) and config.text != "none"
        if not (config.video_weight or self.learns_text):
            raise InputError("With video_weight=0 and no text to learn nothing is trained; leave one of them on.")
        self.lpips = Lpips() if config.perceptual_weight else None
        self._choose_trained()

    def _choose_trained(self) -> None:
        model = self.model.requires_grad_(False)
        parts = [model.mot.experts, model.stem.from_norm, model.stem.from_tokens] if isinstance(model.stem, UNetStem) else []
        if self.config.train_stem or not parts:
            parts = [model.mot.experts, model.stem, model.time_condition, model.plan_condition, model.past_condition]
        for part in parts:
            if part is not None:
                part.requires_grad_(True)
        model.place.requires_grad_(True)
        model.clean_mark.requires_grad_(True)
        if not self.config.video_weight:
            model.requires_grad_(False)
        self.text_side: list[nn.Parameter] = []
        if self.learns_text:
            mot = model.mot
            adapters = [p for name, p in mot.text_layers.named_parameters() if "adapter_" in name]
            self.text_side = [*adapters, mot.special_out, mot.video_gate]
            for parameter in self.text_side:
                parameter.requires_grad_(True)

    def modules(self) -> nn.Module:
        """The model; only the parts of this stage require gradients."""
        return self.model

    def parameter_groups(self) -> list[ParameterGroup]:
        """The video side, and the light adaptation of the text side at its own rate."""
        chosen = {id(p) for p in self.text_side}
        video = [p for p in self.model.parameters() if p.requires_grad and id(p) not in chosen]
        return [ParameterGroup(video), ParameterGroup(self.text_side, self.config.text_lr, decay=False)]

    def window(self, footage: Footage, first: np.ndarray, rng: torch.Generator, *, canonical: bool = False) -> Window:
        """Latents, plan summaries and text of windows that start at chunks `first` [B]."""
        device = next(self.model.parameters()).device
        span = first[:, None] + np.arange(self.chunks + 1)
        visible = torch.rand(len(first), generator=rng) >= (0 if canonical else self.config.plan_dropout)
        spoken, intents = (0.0, 0.0) if canonical else (self.config.spoken, self.config.intent_share)
        rows = [self.layout(footage, row, spoken, rng, intents) for row in span]
        advance = rotary.chunk_advance(self.model.config.video.grid)
        stream = lay_out([row.ids for row in rows], [row.targets for row in rows], advance, visible)
        stream = TextStream(*(getattr(stream, n).to(device) for n in TextStream.__dataclass_fields__))
        plan = pasts = None
        if self.model.reader is not None:
            states, valid, _ = self.lines.of(torch.tensor([wording for row in rows for wording in row.wordings]))
            known = visible if self.config.text != "none" else torch.zeros_like(visible)
            valid = valid & known.repeat_interleave(self.chunks)[:, None]
            plan = self.model.read(states.to(device), valid.to(device))
            # As for a clip that starts from a picture, nobody knows what went on before the first chunk.
            unknown = self.model.reader.unknown.expand(len(first), PASTS, -1)
            told = torch.cat((unknown, plan.unflatten(0, (len(first), -1))[:, :-1]), 1)
            pasts = told.unfold(1, PASTS, 1).movedim(-1, 2).flip(2).flatten(0, 1)
        return Window(footage.latents(span).to(device), plan, pasts, stream, run_prefix(self.model.mot, stream))

    def predict(self, window: Window, history: Tensor, noisy: Tensor, time: Tensor) -> tuple[Tensor, Tensor]:
        """Clean estimates [B * N, C, H, W] of noisy latents of that shape at time [B * N], given history
        [B, N + 1, C, H, W]; and the text tower's last states [B, S, width]."""
        batch = history.shape[0]
        with torch.no_grad():
            guide: Guide | None = None
            if self.model.motion is not None:
                guide = self.model.guide(history[:, :-1].flatten(0, 1), window.plan, window.pasts)
        draft = self.model.draft(noisy, time, guide, window.plan)
        clean = self.model.history_tokens(history.flatten(0, 1)).unflatten(0, (batch, -1))
        out = run_window(self.model.mot, window.stream, clean, draft.tokens.unflatten(0, (batch, -1)).to(clean.dtype),
                         train_text=self.learns_text, prefix=window.prefix)
        return self.model.finish(draft, out.noisy.flatten(0, 1)), out.text

    @torch.no_grad()
    def own_history(self, window: Window, noise: Tensor) -> Tensor:
        """The model's own predictions from true history, behind the true first chunk."""
        def ask(x: Tensor, time: Tensor) -> Tensor:
            return self.predict(window, window.latents, x, time)[0]

        *_, (made, _) = flow.euler(ask, noise, self.config.own_steps)
        made = made.clamp(-1, 1).unflatten(0, (len(window.latents), -1))
        return torch.cat((window.latents[:, :1], made), 1)

    def loss(self, step: int, micro: int, rng: torch.Generator, numpy_rng: np.random.Generator
             ) -> tuple[Tensor, dict[str, float]]:
        """λ_text · CE + λ_video · (velocity error + perceptual error) of a batch of windows."""
        config = self.config
        window = self.window(self.train, numpy_rng.choice(self.starts, config.batch), rng)
        if not config.video_weight:
            return self._text_alone(window)
        target = window.latents[:, 1:].flatten(0, 1)
        device = target.device
        noise = torch.randn(target.shape, generator=rng).to(device)
        history = window.latents
        if numpy_rng.random() < config.own_history:
            history = self.own_history(window, torch.randn(target.shape, generator=rng).to(device)).float()
        size = history.shape[:2]
        flipped = (torch.rand(*size, 1, 1, 1, generator=rng) < config.flip).float()
        sigma = torch.rand(*size, 1, 1, 1, generator=rng) * config.history_noise * flipped
        history = history + (sigma * torch.randn(history.shape, generator=rng)).to(device)
        time = flow.sample_times((len(target),), rng, device, shift=config.time_shift,
                                 at_start=config.from_noise)
        clean, text = self.predict(window, history, flow.mix(target, noise, time), time)
        velocity = flow.velocity_loss(clean, target, time).mean()
        total, logged = config.video_weight * velocity, {"velocity": velocity.detach()}
        if self.lpips is not None:
            frame = torch.randint(0, 4, (len(target),), generator=rng).to(device)
            perceptual = perceptual_loss(self.lpips, clean, target, frame).mean()
            total = total + config.perceptual_weight * perceptual
            logged["perceptual"] = perceptual.detach()
        if self.learns_text:
            named = self._text_loss(text, window.stream)
            total = total + config.text_weight * named
            logged["text"] = named.detach()
        return total, logged

    def _text_alone(self, window: Window) -> tuple[Tensor, dict[str, float]]:
        """The text's loss behind the true history; nothing is drawn."""
        with torch.no_grad():
            clean = self.model.history_tokens(window.latents.flatten(0, 1)).unflatten(0, (len(window.latents), -1))
        out = run_window(self.model.mot, window.stream, clean, clean[:, :0], train_text=True, prefix=window.prefix)
        named = self._text_loss(out.text, window.stream)
        return self.config.text_weight * named, {"text": named.detach()}

    def _text_loss(self, hidden: Tensor, stream: TextStream) -> Tensor:
        asked = stream.targets != NOT_ASKED
        return F.cross_entropy(self.model.mot.logits(hidden[asked]), stream.targets[asked])

    def _held_out(self, count: int) -> tuple[Window, Tensor]:
        first = self.held_out.windows(self.chunks + 1)
        first = first[:: max(1, len(first) // count)][:count]
        window = self.window(self.held_out, first, torch.Generator().manual_seed(1), canonical=True)
        noise = torch.randn(window.latents[:, 1:].flatten(0, 1).shape, generator=torch.Generator().manual_seed(2))
        return window, noise.to(window.latents.device)

    def validate(self, step: int) -> dict[str, float]:
        """Held-out: one-chunk errors from true history, of the model and of repeating the last frame; text loss."""
        window, noise = self._held_out(6)
        target = window.latents[:, 1:].flatten(0, 1)
        made = self.own_history(window, noise)[:, 1:].flatten(0, 1)
        last = window.latents[:, :-1].flatten(0, 1)[:, -3:].repeat(1, 4, 1, 1)
        half = torch.full((len(target),), 0.5, device=target.device)
        clean, text = self.predict(window, window.latents, flow.mix(target, noise, half), half)
        values = {
            "model_l1": (made - target).abs().mean().item(), "repeat_l1": (last - target).abs().mean().item(),
            "half_velocity": flow.velocity_loss(clean, target, half).mean().item(),
        }
        if self.config.text != "none":
            values["text"] = self._text_loss(text, window.stream).item()
        if self.lpips is not None:
            pick = torch.full((len(target),), 3)
            values["model_lpips"] = perceptual_loss(self.lpips, made, target, pick).mean().item()
            values["repeat_lpips"] = perceptual_loss(self.lpips, last, target, pick).mean().item()
        return values

    def sample_sheet(self, step: int) -> np.ndarray | None:
        """Truth above one-chunk predictions from true history, for held-out windows."""
        from tv2tv_core.media.sheet import contact_sheet
        from tv2tv_core.train.stem_task import to_frames

        window, noise = self._held_out(6)
        made = self.own_history(window, noise)
        rows = []
        for b in range(len(made)):
            rows += [(f"truth {b}", to_frames(window.latents[b])), (f"predicted {b}", to_frames(made[b]))]
        return contact_sheet(rows, every=4, scale=1)
