"""Second stage: the U-Net stem learns to make the next chunk from the last one, moved by a motion net that is done.

The towers stay out: a hundred times cheaper per sample than whole windows. The third stage (`tv2tv_task.py`) puts them in.
"""

from __future__ import annotations

from dataclasses import dataclass, replace
from pathlib import Path

import numpy as np
import torch
from torch import Tensor, nn

from tv2tv_core.errors import InputError
from tv2tv_core.evaluate.lpips import Lpips
from tv2tv_core.media.sheet import contact_sheet
from tv2tv_core.model import flow
from tv2tv_core.model.stem import UNetStem
from tv2tv_core.model.tv2tv import TV2TV, Guide
from tv2tv_core.train.critic import PatchCritic, adversarial_losses
from tv2tv_core.train.footage import Footage
from tv2tv_core.train.lines import LineTable, mirrored, said
from tv2tv_core.train.losses import drawn_weight, perceptual_loss, trust_terms
from tv2tv_core.train.trainer import ParameterGroup, all_parameters
from tv2tv_core.train.wear import wear

SHEET_CHUNKS = 8
VALIDATION_STEPS = 1  # as the shipped preset has it
SHEET_LINES = ("stand, turn left 15", "stand, turn right 15", "run forward", "walk strafe left", "stand, fire")


@dataclass(frozen=True)
class StemConfig:
    """What a stem step is made of.

    `weapon_share`: share of samples in which the weapon acts. `mirror`: share of samples that are seen in a mirror.
    `history_noise`: largest σ of the noise on the history (clean-vid-flip, with probability `flip`). `wear`: up to how many
    times it was moved there and back by parts of a pixel, the blur that every chunk of a roll-out adds. `chain`: how many
    chunks are learnt in a row, each behind the last as the model made it, in one step from noise: what a chunk is learnt
    from is the history of the next, so a roll-out costs nothing. `alone`: share of steps of single transitions at all flow
    times, drawn as `time_shift`, `from_noise` say, see `flow.sample_times`. `holes`: share of these in which what another
    sample may not copy is not copied either, so that much more is drawn than what really comes into view. `forget`: share
    of samples in which some or all of the plans before are unknown. `drawing_weight`: weight of the error of the whole
    drawing, copied or not; without it the drawing under a trust of 0.98 grows fifty times too strong. Above 0,
    `adversarial_weight` adds a patch critic (see `critic.py`) from step `adversarial_from` on, which learns `critic_lr` times
    as fast: slower, it never learned to tell.
    """

    batch: int = 16
    weapon_share: float = 0.2
    mirror: float = 0.5
    flip: float = 0.5
    history_noise: float = 0.2
    wear: int = 2
    chain: int = 4
    alone: float = 0.4
    plan_dropout: float = 0.1
    forget: float = 0.2
    time_shift: float = -0.8
    from_noise: float = 0.5
    holes: float = 0.5
    drawing_weight: float = 0.2
    paraphrases: int = 5
    perceptual_weight: float = 0.5
    adversarial_weight: float = 0.0
    adversarial_from: int = 0
    critic_lr: float = 4.0


class StemTask:
    """The task for the trainer; see StemConfig."""

    name = "stem"

    def __init__(self, model: TV2TV, config: StemConfig, data: Path, run_dir: Path) -> None:
        if model.motion is None or not isinstance(model.stem, UNetStem):
            raise InputError("the stem stage needs motion and a U-Net stem; without them go straight to `train tv2tv`")
        self.model, self.config = model, config
        self.samples_per_micro = config.batch
        self.train = Footage.load(data, "train", run_dir)
        self.held_out = Footage.load(data, "heldout", run_dir)
        known = {*self.train.lines, *self.held_out.lines, *SHEET_LINES}
        self.lines = LineTable(model, [*known, *map(mirrored, known)], config.paraphrases)
        self.starts = self.train.windows(config.chain + 1)
        model.requires_grad_(False)
        for part in (model.plan_condition, model.past_condition, model.time_condition, model.stem):
            part.requires_grad_(True)
        self.lpips = Lpips() if config.perceptual_weight else None
        self.critic: PatchCritic | None = None
        if config.adversarial_weight:
            # A part of the model while it trains, so that a checkpoint holds it; `export` leaves it out.
            video = model.config.video
            self.critic = model.critic = PatchCritic(video.latent_shape[0], video.chunk_frames)

    def modules(self) -> nn.Module:
        """The model; only the parts of this stage require gradients."""
        return self.model

    def parameter_groups(self) -> list[ParameterGroup]:
        """Everything that requires gradients, the critic in a group of its own."""
        if self.critic is None:
            return all_parameters(self.model)
        critics = list(self.critic.parameters())
        known = {id(parameter) for parameter in critics}
        others = [one for group in all_parameters(self.model) for one in group.parameters if id(one) not in known]
        return [ParameterGroup(others), ParameterGroup(critics, lr_scale=self.config.critic_lr)]

    @torch.no_grad()
    def advance(self, last: Tensor, plan: Tensor, pasts: Tensor, noise: Tensor, steps: int) -> Tensor:
        """One chunk after `last` [B, C, H, W] by the stem alone, under summaries as for `TV2TV.guide`."""
        guide = self.model.guide(last, plan, pasts)

        def predict(x: Tensor, time: Tensor) -> Tensor:
            return self.model.finish(self.model.draft(x, time, guide, plan), None)

        *_, (x, _) = flow.euler(predict, noise, steps)
        return x.clamp(-1, 1)

    def loss(self, step: int, micro: int, rng: torch.Generator, numpy_rng: np.random.Generator
             ) -> tuple[Tensor, dict[str, float]]:
        """Flow-matching, perceptual and adversarial loss of a batch of chunks, alone or in chains."""
        config = self.config
        device = next(self.model.parameters()).device
        links = 1 if numpy_rng.random() < config.alone else config.chain
        size = max(2, config.batch // links)
        at = self.train.choose(self.starts, size, config.weapon_share, int(numpy_rng.integers(1, links + 1)), numpy_rng)
        mirror = torch.rand(size, generator=rng) < config.mirror
        last = wear(self._latents(at, mirror), int(numpy_rng.integers(0, config.wear + 1)), rng)
        flipped = (torch.rand(size, 1, 1, 1, generator=rng) < config.flip).float()
        sigma = torch.rand(size, 1, 1, 1, generator=rng) * config.history_noise * flipped
        last = last + (sigma * torch.randn(last.shape, generator=rng)).to(device)
        pasts = self.lines.pasts(self.model, self.train, at, mirror, rng, (config.forget, config.plan_dropout))
        terms = []
        for link in range(1, links + 1):
            lines = said(self.train, at + link, mirror)
            plan = self.lines.summaries(self.model, lines, torch.rand(size, generator=rng),
                                        torch.rand(size, generator=rng) < config.plan_dropout)
            with torch.no_grad():
                guide = self.model.guide(last, plan, pasts)
            time = torch.zeros(size, device=device)
            if links == 1:
                guide = with_holes(guide, torch.rand(size, generator=rng) < config.holes)
                time = flow.sample_times((size,), rng, device, shift=config.time_shift, at_start=config.from_noise)
            made, found = self._denoising(step, self._latents(at + link, mirror), guide, plan, time, rng)
            terms.append(found)
            last = made.detach().clamp(-1, 1)
            pasts = torch.cat((plan[:, None], pasts[:, :-1]), 1)
        means = {name: torch.stack([found[name] for found in terms]).mean() for name in terms[0]}
        return means.pop("total"), {name: value.detach() for name, value in means.items()}

    def _latents(self, at: np.ndarray, mirror: Tensor) -> Tensor:
        latents = self.train.latents(at)
        latents = torch.where(mirror[:, None, None, None], latents.flip(-1), latents)
        return latents.to(next(self.model.parameters()).device)

    def _denoising(self, step: int, target: Tensor, guide: Guide, plan: Tensor, time: Tensor, rng: torch.Generator
                   ) -> tuple[Tensor, dict[str, Tensor]]:
        """The clean estimate of `target` at flow times `time` [B] and the terms of its loss, with their `total`: flow
        matching, its perceptual error, and what the critic says of it."""
        config, size = self.config, len(target)
        noisy = flow.mix(target, torch.randn(target.shape, generator=rng).to(target.device), time)
        drawn = self.model.drawing(self.model.draft(noisy, time, guide, plan), None)
        clean = self.model.compose(drawn, guide)
        velocity = flow.velocity_loss(clean, target, time, drawn_weight(guide)).mean()
        drawing = flow.velocity_loss(drawn, target, time).mean()
        total = velocity + config.drawing_weight * drawing
        terms = {"velocity": velocity, "drawing": drawing}
        if self.lpips is not None:
            frame = torch.randint(0, 4, (size,), generator=rng).to(target.device)
            perceptual = perceptual_loss(self.lpips, clean, target, frame).mean()
            total, terms = total + config.perceptual_weight * perceptual, terms | {"perceptual": perceptual}
        if self.critic is not None and step >= config.adversarial_from:
            of_model, of_critic = adversarial_losses(self.critic, clean, target, (guide.warped, guide.trust))
            total = total + config.adversarial_weight * of_model + of_critic
            terms |= {"fooled": -of_model, "critic": of_critic}
        return clean, terms | {"total": total}

    def _held_latents(self, index: np.ndarray) -> Tensor:
        return self.held_out.latents(index).to(next(self.model.parameters()).device)

    def _roll(self, first: np.ndarray, chunks: int, lines: list[list[str]] | None = None) -> Tensor:
        """Roll-outs [B, chunks, C, H, W] from held-out chunks under the true (or given) lines."""
        last, out = self._held_latents(first), []
        pasts = self.lines.pasts(self.model, self.held_out, first)
        for k in range(1, chunks + 1):
            asked = lines[k - 1] if lines else [self.held_out.lines[i] for i in first + k]
            plan = self.lines.summaries(self.model, asked, torch.zeros(len(first)))
            noise = torch.randn(last.shape, generator=torch.Generator().manual_seed(k)).to(last)
            last = self.advance(last, plan, pasts, noise, VALIDATION_STEPS)
            pasts = torch.cat((plan[:, None], pasts[:, :-1]), 1)
            out.append(last)
        return torch.stack(out, 1)

    def validate(self, step: int) -> dict[str, float]:
        """One-chunk errors on held-out moments: mean absolute, of the model and of repeating the last frame."""
        first = self.held_out.windows(2)[::23][:48]
        rolled = self._roll(first, 1)[:, 0]
        truth, last = self._held_latents(first + 1), self._held_latents(first)[:, -3:].repeat(1, 4, 1, 1)
        pasts = self.lines.pasts(self.model, self.held_out, first)
        plan = self.lines.summaries(self.model, [self.held_out.lines[i] for i in first + 1], torch.zeros(len(first)))
        guide = self.model.guide(self._held_latents(first), plan, pasts)
        terms = trust_terms(guide.motion, guide.warped, truth, self.held_out.motion(first + 1).to(truth))
        values = {"model_l1": (rolled - truth).abs().mean().item(), "repeat_l1": (last - truth).abs().mean().item(),
                  "motion_px": terms["motion_px"].item(), "warped_l1": (guide.warped - truth).abs().mean().item(),
                  "trust": terms["trust"].item()}
        if self.lpips is not None:
            pick = torch.full((len(first),), 3)
            values["model_lpips"] = perceptual_loss(self.lpips, rolled, truth, pick).mean().item()
            values["repeat_lpips"] = perceptual_loss(self.lpips, last, truth, pick).mean().item()
        return values

    def sample_sheet(self, step: int) -> np.ndarray:
        """Truth above roll-out for four held-out moments, then four instructed roll-outs from one of them."""
        first = self.held_out.windows(SHEET_CHUNKS + 1)
        first = first[:: max(1, len(first) // 4)][:4]
        truth = torch.stack([self._held_latents(first + k) for k in range(SHEET_CHUNKS + 1)], 1)
        rolled = torch.cat((truth[:, :1], self._roll(first, SHEET_CHUNKS)), 1)
        rows = []
        for b in range(len(first)):
            rows += [(f"truth {b}", to_frames(truth[b])), (f"roll-out {b}", to_frames(rolled[b]))]
        same = np.repeat(first[:1], len(SHEET_LINES))
        steered = self._roll(same, SHEET_CHUNKS, [list(SHEET_LINES)] * SHEET_CHUNKS)
        rows += [(line, to_frames(torch.cat((truth[:1, 0], clip)))) for line, clip in zip(SHEET_LINES, steered, strict=True)]
        return contact_sheet(rows, every=4, scale=1)


def with_holes(guide: Guide, chosen: Tensor) -> Guide:
    """The guide, in the `chosen` rows [B] without what the row before them may not copy: nothing is known there, of the
    chunk before it neither.

    The holes have the shapes of what comes into view at play."""
    chosen = chosen.to(guide.trust.device)[:, None, None, None]
    other = torch.where(chosen, guide.trust.roll(1, 0), torch.ones_like(guide.trust))
    known = (other > 0.5).repeat_interleave(guide.warped.shape[1] // guide.trust.shape[1], 1)
    return replace(guide, warped=guide.warped * known, trust=guide.trust * other, last=guide.last * known)


def to_frames(latents: Tensor) -> np.ndarray:
    """Base-pixel latents [n, 12, 48, 80] in [-1, 1] as uint8 [4n, 48, 80, 3]."""
    frames = latents.unflatten(1, (-1, 3)).flatten(0, 1)
    return ((frames.float() + 1) * 127.5).round().clamp(0, 255).byte().permute(0, 2, 3, 1).cpu().numpy()
