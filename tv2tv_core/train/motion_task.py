"""First stage: plan reader and motion net learn where the camera goes under a plan line, and how deep a frame is."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path

import numpy as np
import torch
import torch.nn.functional as F
from torch import Tensor, nn

from tv2tv_core.errors import InputError
from tv2tv_core.model.tv2tv import TV2TV
from tv2tv_core.train.footage import Footage
from tv2tv_core.train.lines import LineTable, mirrored, said
from tv2tv_core.train.losses import depth_terms, pose_loss, trust_terms
from tv2tv_core.train.trainer import ParameterGroup, all_parameters
from tv2tv_core.train.wear import wear

MIRROR = (1.0, -1.0, 1.0, -1.0, 1.0, 1.0)  # a pose in a mirrored world


@dataclass(frozen=True)
class MotionTaskConfig:
    """What a motion step is made of.

    `weapon_share`: share of samples in which the weapon acts. `mirror`: share of samples that are seen in a mirror, left
    and right exchanged in their plan lines. `history_noise`: largest σ of the noise on the history (with probability
    `flip`), `wear`: up to how many times it was moved there and back by parts of a pixel. `judge_from`: step from which
    trust is learnt (a motion that is not good yet deserves none); `judge_alone`: nothing else is learnt, which is twice as
    fast. `keep_reader`: the plan reader stays as it is, so that a stem that has learnt its summaries still reads them.
    `forget`: share of samples in which some or all of the plans before are unknown. `naming_batch`: lines named per
    step beside those of the batch. The weights scale the terms of the loss.
    """

    batch: int = 32
    weapon_share: float = 0.2
    mirror: float = 0.5
    flip: float = 0.5
    history_noise: float = 0.2
    wear: int = 3
    plan_dropout: float = 0.1
    forget: float = 0.2
    paraphrases: int = 5
    judge_from: int = 1000
    judge_alone: bool = False
    keep_reader: bool = False
    naming_batch: int = 64
    naming_weight: float = 2.0
    pose_weight: float = 0.3
    landing_weight: float = 1.0
    depth_weight: float = 1.0
    covered_weight: float = 1.0
    trust_weight: float = 1.0


class MotionTask:
    """The task for the trainer; see MotionTaskConfig."""

    name = "motion"

    def __init__(self, model: TV2TV, config: MotionTaskConfig, data: Path, run_dir: Path) -> None:
        if model.motion is None:
            raise InputError("this architecture has no motion; go straight to `train tv2tv`")
        self.model, self.config = model, config
        self.samples_per_micro = config.batch
        self.train = Footage.load(data, "train", run_dir)
        self.held_out = Footage.load(data, "heldout", run_dir)
        known = {*self.train.lines, *self.held_out.lines}
        self.lines = LineTable(model, [*known, *map(mirrored, known)], config.paraphrases)
        self.starts = self.train.windows(2)
        model.requires_grad_(False)
        for part in (model.motion.judge, model.motion.begun) if config.judge_alone else (model.reader, model.motion):
            part.requires_grad_(True)
        if config.keep_reader:
            model.reader.requires_grad_(False)

    def modules(self) -> nn.Module:
        """The model; only motion and reader require gradients."""
        return self.model

    def parameter_groups(self) -> list[ParameterGroup]:
        """Everything that requires gradients, at one rate."""
        return all_parameters(self.model)

    def loss(self, step: int, micro: int, rng: torch.Generator, numpy_rng: np.random.Generator
             ) -> tuple[Tensor, dict[str, float]]:
        """Camera, depth, cover, trust and naming loss of a batch of single transitions."""
        config, size = self.config, self.config.batch
        device = next(self.model.parameters()).device
        at = self.train.choose(self.starts, size, config.weapon_share, 1, numpy_rng)
        mirror = torch.rand(size, generator=rng) < config.mirror
        last, target, motion, pose, done = (t.to(device) for t in self._sample(self.train, at, mirror))
        last = wear(last, int(numpy_rng.integers(0, config.wear + 1)), rng)
        sigma = torch.rand(size, 1, 1, 1, generator=rng) * config.history_noise
        sigma = sigma * (torch.rand(size, 1, 1, 1, generator=rng) < config.flip)
        disturbed = last + (sigma * torch.randn(last.shape, generator=rng)).to(device)
        pasts = self.lines.pasts(self.model, self.train, at, mirror, rng, (config.forget, config.plan_dropout))
        plan = self.lines.summaries(self.model, said(self.train, at + 1, mirror), torch.rand(size, generator=rng),
                                    torch.rand(size, generator=rng) < config.plan_dropout)
        scene = self.model.motion.see(disturbed.unflatten(1, (-1, 3)), plan, pasts[:, 0])
        terms = depth_terms(scene, pose, motion) | {"pose": pose_loss(scene.pose, pose), "done": pose_loss(scene.done, done)}
        terms["naming"] = self._naming(numpy_rng)
        total = (config.pose_weight * (terms["pose"] + 0.3 * terms["done"]) + config.landing_weight * terms["landing"]
                 + config.depth_weight * terms["depth"] + config.covered_weight * terms["covered"]
                 + config.naming_weight * terms["naming"])
        if step >= config.judge_from:
            found, warped = self.model.motion.move(last[:, -3:], scene, plan, pasts)
            judged = trust_terms(found, warped.flatten(1, 2), target, motion)
            total = total + config.trust_weight * judged["trust"]
            terms |= judged
        return total, {name: value.detach() for name, value in terms.items()}

    def _sample(self, footage: Footage, at: np.ndarray, mirror: Tensor) -> tuple[Tensor, ...]:
        """Latents of chunks `at` and of those after them, true motion, camera and the motion that is over, in the mirror
        where `mirror` [B] says so."""
        frames = [footage.latents(index) for index in (at, at + 1)]
        motion, pose, done = footage.motion(at + 1), footage.poses(at + 1), footage.done(at)
        sign = torch.where(mirror[:, None], torch.tensor(MIRROR), torch.ones(()))
        motion[..., 0, :, :] *= sign[:, 1, None, None, None]
        frames = [torch.where(mirror[:, None, None, None], x.flip(-1), x) for x in frames]
        motion = torch.where(mirror[:, None, None, None, None], motion.flip(-1), motion)
        return *frames, motion, pose * sign[:, None], done * sign[:, None, :4]

    def _naming(self, rng: np.random.Generator) -> Tensor:
        device = next(self.model.parameters()).device
        chosen = rng.integers(len(self.lines.ids), size=self.config.naming_batch)
        states, valid, wanted = self.lines.of(torch.from_numpy(chosen))
        named = self.model.reader.name_action(self.model.read(states.to(device), valid.to(device)))
        return F.mse_loss(named.float(), wanted.to(device))

    def validate(self, step: int) -> dict[str, float]:
        """Held-out transitions: camera, depth and trust errors, and how far moved pixels are from where they should be."""
        at = self.held_out.windows(2)[::23][:96]
        device = next(self.model.parameters()).device
        last, target, motion, pose, done = (
            t.to(device) for t in self._sample(self.held_out, at, torch.zeros(len(at), dtype=torch.bool)))
        pasts = self.lines.pasts(self.model, self.held_out, at)
        plan = self.lines.summaries(self.model, [self.held_out.lines[i] for i in at + 1], torch.zeros(len(at)))
        scene = self.model.motion.see(last.unflatten(1, (-1, 3)), plan, pasts[:, 0])
        found, warped = self.model.motion.move(last[:, -3:], scene, plan, pasts)
        terms = depth_terms(scene, pose, motion) | trust_terms(found, warped.flatten(1, 2), target, motion)
        terms |= {"pose": pose_loss(scene.pose, pose), "done": pose_loss(scene.done, done)}
        parts = (scene.pose - pose)[:, -1].abs().mean(0)
        terms |= dict(zip(("forward", "right", "up", "turn", "tilt"), parts, strict=False))
        return {name: value.item() for name, value in terms.items()}

    def sample_sheet(self, step: int) -> np.ndarray | None:
        """No picture: figures say it all."""
        return None
