"""The whole network: towers, stem, plan reader and motion, put together into "predict the next chunk's clean latents"."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass

import torch
from torch import Tensor, nn

from tv2tv_core.model import flow
from tv2tv_core.model.config import ModelConfig
from tv2tv_core.model.mot import Context, MoT, SegmentCache
from tv2tv_core.model.motion import PASTS, Motion, MotionNet, PlanReader
from tv2tv_core.model.reference import Reference, displaced, enlarged
from tv2tv_core.model.stem import TIME_FEATURES, LinearStem, UNetStem, time_features
from tv2tv_core.model.views import View, recall

# Trust is pushed towards all or nothing: even a small share of a blurred drawing in what is copied adds up from chunk to chunk.
DECISIVE = 2.0
# Frames that were given are crisp: an edge of theirs that is copied beside its place looks better than one that is drawn anew.
GIVEN = 1.0
CONDITION = 256  # width of what modulates the stem: flow time and plan summary


@dataclass(frozen=True)
class Guide:
    """Motion-compensated history of a chunk: warped [B, 3F, H, W] in [-1, 1], trust [B, F, H, W] in [0, 1].

    `last` [B, 3F, H, W]: the chunk that is over, where it was: it tells how far a shot or a change of weapon has come.
    `pasts` [B, PASTS, plan_width]: summaries of the plans before, the latest first; what they began goes on.
    `reference`: what decoding lost of what is copied, where the views know it.
    """

    warped: Tensor
    trust: Tensor
    motion: Motion
    last: Tensor
    pasts: Tensor
    reference: Reference | None = None


@dataclass(frozen=True)
class Draft:
    """A noisy chunk on its way through the stem: tokens [B, V, D], and what the way out needs."""

    tokens: Tensor
    skips: list[Tensor]
    condition: Tensor
    noisy: Tensor
    time: Tensor
    guide: Guide | None


class TV2TV(nn.Module):
    """TV2TV over one codec's latents. Latents are [B, *config.video.latent_shape], about unit range.

    With motion-compensated history the latents must be frames themselves (frame-major RGB in [-1, 1]).
    """

    def __init__(self, config: ModelConfig) -> None:
        super().__init__()
        self.config = config
        video, motion = config.video, config.video.motion
        channels, frames = video.latent_shape[0], video.chunk_frames
        self.mot = MoT(config)
        guide_channels = 0
        self.reader = self.motion = self.plan_condition = self.past_condition = None
        if motion is not None:
            if channels != 3 * frames:
                raise ValueError(f"motion needs latents of {3 * frames} channels (frames of RGB), not {channels}")
            self.reader = PlanReader(config.text.width, motion)
            self.motion = MotionNet(motion, frames, video.latent_shape[1:])
            self.plan_condition = nn.Linear(motion.plan_width, CONDITION, bias=False)
            self.past_condition = nn.Linear(PASTS * motion.plan_width, CONDITION, bias=False)
            nn.init.zeros_(self.past_condition.weight)
            guide_channels = channels + frames + channels
        self.time_condition = nn.Sequential(nn.Linear(TIME_FEATURES, CONDITION), nn.SiLU(),
                                            nn.Linear(CONDITION, CONDITION))
        self.guide_channels = guide_channels
        self.composes = motion is not None and video.prediction == "clean"
        inputs, outputs = channels + guide_channels, channels
        if video.stem == "unet":
            self.stem: UNetStem | LinearStem = UNetStem(
                inputs, outputs, video.patch, video.stem_widths, video.width, CONDITION)
        else:
            self.stem = LinearStem(inputs, outputs, video.patch, video.width, CONDITION)
        self.place = nn.Parameter(torch.randn(video.tokens, video.width) * 0.02)
        self.clean_mark = nn.Parameter(torch.zeros(video.width))

    def settle(self, dtype: torch.dtype) -> TV2TV:
        """Convert for inference: layers settled, towers, stem and motion in `dtype`; conditioning stays in float32."""
        for layer in (*self.mot.text_layers, *self.mot.experts.values()):
            layer.settle()
        for part in (self.mot, self.stem, self.motion):
            if part is not None:
                part.to(dtype)
        self.mot.reset_tables()
        return self

    # Parts, in the order in which a chunk passes them ---------------------------------------------------------------

    @torch.no_grad()
    def line_states(self, ids: Tensor) -> Tensor:
        """Text-tower states [B, T, width] of plan lines alone, ids [B, T] padded on the right, for `read`.

        An end-of-text token stands before the line: a language model's first position is its attention sink and would
        otherwise cost the line its first word.
        """
        motion = self.config.video.motion
        if motion is None:
            raise ValueError("this model has no plan reader")
        sink = ids.new_full((len(ids), 1), self.config.text.eos)
        return self.mot.run_text(torch.cat((sink, ids), 1), Context(), motion.read_layer)[0][:, 1:]

    def read(self, states: Tensor, valid: Tensor) -> Tensor:
        """Plan summary [B, plan_width] of states [B, T, width]; a row without a valid token means no plan."""
        return self.reader(states, valid)

    def view(self, last_chunk: Tensor, plan: Tensor, past: Tensor) -> View:
        """What last_chunk [B, 3F, H, W] shows and how the camera goes on from there; plan, past [B, plan_width]: summaries of
        the plan of the chunk to come and of last_chunk's."""
        frames, dtype = last_chunk.unflatten(1, (-1, 3)), self.motion.leave.weight.dtype
        return View(frames[:, -1].clone(), self.motion.see(frames.to(dtype), plan.to(dtype), past.to(dtype)))

    def guide(self, last_chunk: Tensor, plan: Tensor, pasts: Tensor, views: Sequence[View] = (), given: bool = False) -> Guide:
        """Where the history moves: last_chunk [B, 3F, H, W] are the latents before the chunk to come; plan [B, plan_width]
        the summary of its plan; pasts [B, PASTS, plan_width] of the plans of last_chunk and of those before it. `views`:
        those of a single clip (B = 1) up to last_chunk's, the oldest first; without them last_chunk alone is looked at.
        `given`: last_chunk was not made by the model."""
        *earlier, last = views or [self.view(last_chunk, plan, pasts[:, 0])]
        dtype = self.motion.leave.weight.dtype
        motion, warped = self.motion.move(last.frame, last.scene, plan.to(dtype), pasts.to(dtype))
        trust = torch.sigmoid(DECISIVE * (motion.trust + GIVEN * given)).flatten(1, 2)
        detail = None if last.detail is None else displaced(last.detail(), motion.source.float())
        warped, trust, detail = recall(warped, trust, motion, last.scene, earlier, detail)
        reference = None if detail is None else Reference(detail, enlarged(trust, detail))
        return Guide(warped.flatten(1, 2), trust, motion, last_chunk, pasts, reference)

    def draft(self, noisy: Tensor, time: Tensor, guide: Guide | None, plan: Tensor | None) -> Draft:
        """Noisy latents [B, C, H, W] at flow time [B] into tokens for the tower."""
        parts = [noisy] if guide is None else [noisy, guide.warped, guide.trust, guide.last]
        condition = self.time_condition(time_features(time))
        if plan is not None:
            condition = condition + self.plan_condition(plan)
        if guide is not None:
            condition = condition + self.past_condition(guide.pasts.flatten(1))
        dtype = self.stem.enter.weight.dtype
        condition = condition.to(dtype)
        tokens, skips = self.stem.down(torch.cat([p.to(dtype) for p in parts], 1), condition)
        return Draft(tokens + self.place.to(tokens.dtype), skips, condition, noisy, time, guide)

    def drawing(self, draft: Draft, tokens: Tensor | None) -> Tensor:
        """What the stem draws, [B, C, H, W], float32, the trusted part too; `tokens` as for `finish`."""
        out = self.stem.up(tokens, draft.skips, draft.condition).float()
        if self.config.video.prediction == "velocity":
            return flow.clean_from_velocity(out, draft.noisy.float(), draft.time)
        return out

    def compose(self, drawn: Tensor, guide: Guide) -> Tensor:
        """A chunk [B, C, H, W] out of copied and drawn parts: a pixel that is not redrawn cannot drift over a long clip."""
        trust = guide.trust.float().repeat_interleave(drawn.shape[1] // self.config.video.chunk_frames, 1)
        return trust * guide.warped.float() + (1 - trust) * drawn.clamp(-1, 1)

    def finish(self, draft: Draft, tokens: Tensor | None) -> Tensor:
        """The clean estimate [B, C, H, W], float32, from the tower's tokens (None: the stem by itself)."""
        drawn = self.drawing(draft, tokens)
        return self.compose(drawn, draft.guide) if self.composes else drawn

    def history_tokens(self, clean: Tensor) -> Tensor:
        """Clean latents [B, C, H, W] as history tokens [B, V, D]: the same way in, at flow time 1, without a guide."""
        blank = clean.new_zeros(len(clean), self.guide_channels, *clean.shape[2:])
        condition = self.time_condition(time_features(clean.new_ones(len(clean))))
        dtype = self.stem.enter.weight.dtype
        tokens, _ = self.stem.down(torch.cat((clean, blank), 1).to(dtype), condition.to(dtype))
        return tokens + (self.place + self.clean_mark).to(tokens.dtype)

    # Inference over a context ---------------------------------------------------------------------------------------

    @torch.inference_mode()
    def denoise(self, noise: Tensor, context: Context, guides: list[Guide | None], plans: list[Tensor | None], *,
                steps: int, guidance: float) -> Iterator[tuple[Tensor, Tensor]]:
        """Euler steps from noise [1, C, H, W] behind a context that ends with BOF; yields (x, clean estimate).

        guides[0], plans[0] belong to the plan in force; with guidance ≠ 1 guides[1], plans[1] stand for "no plan" and
        the estimate is unconditional + guidance · (conditional − unconditional).
        """
        rows = 2 if guidance != 1.0 else 1
        see_text = torch.tensor([True, False], device=noise.device) if rows == 2 else None
        guide = _stack_guides(guides[:rows])
        plan = None if plans[0] is None else torch.cat(plans[:rows])

        def predict(x: Tensor, time: Tensor) -> Tensor:
            draft = self.draft(x.expand(rows, -1, -1, -1), time.expand(rows), guide, plan)
            tokens, _ = self.mot.run_video(draft.tokens, context, see_text=see_text)
            clean = self.finish(draft, tokens)
            return clean if rows == 1 else clean[1:] + guidance * (clean[:1] - clean[1:])

        yield from flow.euler(predict, noise, steps)

    @torch.inference_mode()
    def remember(self, clean: Tensor, context: Context) -> SegmentCache:
        """The cache that one finished chunk [1, C, H, W] leaves behind, standing at the context's end."""
        return self.mot.run_video(self.history_tokens(clean), context)[1]


def _stack_guides(guides: list[Guide | None]) -> Guide | None:
    present = [g for g in guides if g is not None]
    if not present:
        return None
    motion = Motion(*(torch.cat([getattr(g.motion, name) for g in present]) for name in ("source", "trust", "valid")))
    warped, trust, last, pasts = (
        torch.cat([getattr(g, name) for g in present]) for name in ("warped", "trust", "last", "pasts"))
    return Guide(warped, trust, motion, last, pasts)
