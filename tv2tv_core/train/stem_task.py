"""First stage: motion, plan reader and U-Net stem learn to make the next chunk from the last one, without the towers.

A hundred times cheaper per sample than whole windows; the second stage (`tv2tv_task.py`) puts the towers in.
"""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path

import numpy as np
import torch
import torch.nn.functional as F
from torch import Tensor, nn

from tv2tv_core.errors import InputError
from tv2tv_core.evaluate.lpips import Lpips
from tv2tv_core.media.sheet import contact_sheet
from tv2tv_core.model import flow
from tv2tv_core.model.motion import warp
from tv2tv_core.model.stem import UNetStem
from tv2tv_core.model.tv2tv import TV2TV, Guide
from tv2tv_core.train.critic import PatchCritic, adversarial_losses
from tv2tv_core.train.footage import Footage
from tv2tv_core.train.lines import LineTable
from tv2tv_core.train.losses import motion_terms, perceptual_loss
from tv2tv_core.train.trainer import ParameterGroup, all_parameters

SHEET_CHUNKS = 8
SHEET_LINES = ("stand, turn left 15", "stand, turn right 15", "run forward", "walk strafe left", "stand, fire")


@dataclass(frozen=True)
class StemConfig:
    """What a stem step is made of.

    `history_noise`: largest σ of the noise on the history (clean-vid-flip, with probability `flip`). `wear`: up to how many
    times it was moved there and back by parts of a pixel, the blur that every chunk of a roll-out adds. `rollout`: up to how
    many chunks of the model's own making stand between truth and target, from step `rollout_from` on, `rollout_steps`
    Euler steps each. Before step `denoise_from` only motion and plan reader learn, a quarter of the work per sample: there
    is no point in repairing a warped frame before the warp is any good. `naming_batch`: lines named per step beside those
    of the batch. `time_shift`, `from_noise`: how flow times are drawn, see `flow.sample_times`. The weights scale the
    terms of the loss; above 0, `adversarial_weight` adds a patch critic (see `critic.py`) from step `adversarial_from` on,
    which learns `critic_lr` times as fast: slower, it never learned to tell.
    """

    batch: int = 16
    denoise_from: int = 500
    naming_batch: int = 128
    flip: float = 0.5
    history_noise: float = 0.2
    wear: int = 2
    rollout: int = 3
    rollout_from: int = 1500
    rollout_steps: int = 1
    plan_dropout: float = 0.1
    time_shift: float = -0.8
    from_noise: float = 0.5
    paraphrases: int = 5
    motion_weight: float = 2.0
    photometric_weight: float = 1.0
    trust_weight: float = 0.5
    naming_weight: float = 5.0
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
        self.lines = LineTable(model, [*self.train.lines, *self.held_out.lines, *SHEET_LINES], config.paraphrases)
        self.starts = self.train.windows(config.rollout + 2)
        trained = (model.reader, model.motion, model.plan_condition, model.time_condition, model.stem)
        model.requires_grad_(False)
        for part in trained:
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

    def plan(self, lines: list[str], spoken: Tensor, hidden: Tensor | None = None) -> Tensor:
        """Plan summaries [B, P] of canonical lines in the wordings that `spoken` chooses; `hidden` rows know no plan."""
        states, valid, _ = self.lines.of(self.lines.choose(lines, spoken))
        if hidden is not None:
            valid = valid & ~hidden[:, None]
        device = next(self.model.parameters()).device
        return self.model.read(states.to(device), valid.to(device))

    @torch.no_grad()
    def advance(self, last: Tensor, plans: tuple[Tensor, Tensor], noise: Tensor, steps: int) -> Tensor:
        """One chunk after `last` [B, C, H, W] by the stem alone; `plans`: of `last` and of the chunk to come."""
        past, plan = plans
        guide = self.model.guide(last, plan, past)

        def predict(x: Tensor, time: Tensor) -> Tensor:
            return self.model.finish(self.model.draft(x, time, guide, plan), None)

        *_, (x, _) = flow.euler(predict, noise, steps)
        return x.clamp(-1, 1)

    def loss(self, step: int, micro: int, rng: torch.Generator, numpy_rng: np.random.Generator
             ) -> tuple[Tensor, dict[str, float]]:
        """Motion, flow-matching and naming loss of a batch of single transitions."""
        config, size = self.config, self.config.batch
        device = next(self.model.parameters()).device
        at = numpy_rng.choice(self.starts, size)
        depth = int(numpy_rng.integers(0, config.rollout + 1)) if step >= config.rollout_from else 0
        last = self.train.latents(at).to(device)
        unknown = torch.rand(size, generator=rng) < config.plan_dropout
        past = self.plan([self.train.lines[i] for i in at], torch.rand(size, generator=rng), unknown)
        for k in range(1, depth + 1):
            plan = self.plan([self.train.lines[i] for i in at + k], torch.rand(size, generator=rng))
            noise = torch.randn(last.shape, generator=rng).to(device)
            last = self.advance(last, (past, plan), noise, config.rollout_steps).float()
            past = plan
        at = at + depth + 1
        target, true_motion = self.train.latents(at).to(device), self.train.motion(at).to(device)
        last = wear(last, int(numpy_rng.integers(0, config.wear + 1)), rng)
        flipped = (torch.rand(size, 1, 1, 1, generator=rng) < config.flip).float()
        sigma = torch.rand(size, 1, 1, 1, generator=rng) * config.history_noise * flipped
        disturbed = last + (sigma * torch.randn(last.shape, generator=rng)).to(device)
        hidden = torch.rand(size, generator=rng) < config.plan_dropout
        plan = self.plan([self.train.lines[i] for i in at], torch.rand(size, generator=rng), hidden)
        guide = self.model.guide(disturbed, plan, past)
        # Trust is about the motion: it is judged by what the motion does to the undisturbed frame.
        undisturbed = warp(last[:, -3:], guide.motion.source).flatten(1, 2)
        terms = motion_terms(guide.motion, undisturbed, target, true_motion)
        named = self._naming(numpy_rng)
        total = config.naming_weight * named
        if depth == 0:  # motion learns from what is true; a roll-out only teaches repair
            total = (total + config.motion_weight * terms["motion"] + config.photometric_weight * terms["photometric"]
                     + config.trust_weight * terms["trust"])
        logged = {"naming": named.detach(), **{k: v.detach() for k, v in terms.items()}}
        if step < config.denoise_from:
            return total, logged
        extra, more = self._denoising(step, target, guide, plan, rng)
        return total + extra, logged | more

    def _naming(self, rng: np.random.Generator) -> Tensor:
        device = next(self.model.parameters()).device
        chosen = rng.integers(len(self.lines.ids), size=self.config.naming_batch)
        states, valid, wanted = self.lines.of(torch.from_numpy(chosen))
        named = self.model.reader.name_action(self.model.read(states.to(device), valid.to(device)))
        return F.mse_loss(named.float(), wanted.to(device))

    def _denoising(self, step: int, target: Tensor, guide: Guide, plan: Tensor, rng: torch.Generator
                   ) -> tuple[Tensor, dict[str, Tensor]]:
        """Flow matching behind a motion that learns nothing from it, the perceptual error of the clean
        estimate, and what the critic says of it."""
        config, size = self.config, len(target)
        time = flow.sample_times((size,), rng, target.device, shift=config.time_shift,
                                 at_start=config.from_noise)
        noisy = flow.mix(target, torch.randn(target.shape, generator=rng).to(target.device), time)
        still = Guide(guide.warped.detach(), guide.trust.detach(), guide.motion)
        clean = self.model.finish(self.model.draft(noisy, time, still, plan), None)
        velocity = flow.velocity_loss(clean, target, time).mean()
        total, logged = velocity, {"velocity": velocity.detach()}
        if self.lpips is not None:
            frame = torch.randint(0, 4, (size,), generator=rng).to(target.device)
            perceptual = perceptual_loss(self.lpips, clean, target, frame).mean()
            total, logged = total + config.perceptual_weight * perceptual, logged | {"perceptual": perceptual.detach()}
        if self.critic is not None and step >= config.adversarial_from:
            of_model, of_critic = adversarial_losses(self.critic, clean, target, (still.warped, still.trust))
            total = total + config.adversarial_weight * of_model + of_critic
            logged |= {"fooled": -of_model.detach(), "critic": of_critic.detach()}
        return total, logged

    def _held_latents(self, index: np.ndarray) -> Tensor:
        return self.held_out.latents(index).to(next(self.model.parameters()).device)

    def _roll(self, first: np.ndarray, chunks: int, lines: list[list[str]] | None = None) -> Tensor:
        """Roll-outs [B, chunks, C, H, W] from held-out chunks under the true (or given) lines."""
        last, out = self._held_latents(first), []
        past = self.plan([self.held_out.lines[i] for i in first], torch.zeros(len(first)))
        for k in range(1, chunks + 1):
            asked = lines[k - 1] if lines else [self.held_out.lines[i] for i in first + k]
            plan = self.plan(asked, torch.zeros(len(first)))
            noise = torch.randn(last.shape, generator=torch.Generator().manual_seed(k)).to(last)
            last, past = self.advance(last, (past, plan), noise, 4), plan
            out.append(last)
        return torch.stack(out, 1)

    def validate(self, step: int) -> dict[str, float]:
        """One-chunk errors on held-out moments: mean absolute, of the model and of repeating the last frame."""
        first = self.held_out.windows(2)[::23][:48]
        rolled = self._roll(first, 1)[:, 0]
        truth, last = self._held_latents(first + 1), self._held_latents(first)[:, -3:].repeat(1, 4, 1, 1)
        past, plan = (self.plan([self.held_out.lines[i] for i in first + k], torch.zeros(len(first))) for k in (0, 1))
        guide = self.model.guide(self._held_latents(first), plan, past)
        terms = motion_terms(guide.motion, guide.warped, truth, self.held_out.motion(first + 1).to(truth))
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


def wear(latents: Tensor, times: int, rng: torch.Generator) -> Tensor:
    """Latents [B, C, H, W] moved there and back `times` times by up to half a pixel: the blur of repeated resampling."""
    for _ in range(times):
        shift = (torch.rand(len(latents), 2, generator=rng) - 0.5) * 2 / torch.tensor(latents.shape[-1:-3:-1])
        for sign in (1.0, -1.0):
            affine = torch.cat((torch.eye(2).expand(len(latents), 2, 2), sign * shift[..., None]), -1).to(latents)
            grid = F.affine_grid(affine, list(latents.shape), align_corners=True)
            latents = F.grid_sample(latents, grid, mode="bicubic", padding_mode="border", align_corners=True)
    return latents


def to_frames(latents: Tensor) -> np.ndarray:
    """Base-pixel latents [n, 12, 48, 80] in [-1, 1] as uint8 [4n, 48, 80, 3]."""
    frames = latents.unflatten(1, (-1, 3)).flatten(0, 1)
    return ((frames.float() + 1) * 127.5).round().clamp(0, 255).byte().permute(0, 2, 3, 1).cpu().numpy()
