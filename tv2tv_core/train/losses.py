"""The terms of the training objective beyond flow matching: true motion, trust, perception."""

from __future__ import annotations

import torch
import torch.nn.functional as F
from torch import Tensor

from tv2tv_core.model.geometry import POSE, camera_moves, carry, grid, look_up
from tv2tv_core.model.motion import Motion, Scene
from tv2tv_core.model.tv2tv import Guide

TRUSTED_ERROR = 0.2  # mean absolute error (frames in [-1, 1]) up to which a visible pixel was moved to the right place
STILL = 0.5  # pixels of motion below which a pixel stands
# What stands and yet changes is the held weapon, mostly: few pixels, which count more, to the judge and to the drawing.
CHANGED, CHANGED_DRAWN = 10.0, 20.0
FAR_OFF = 6.0  # pixels from which on a misplaced point counts less and less
POSE_PIXELS = (10.0, 10.0, 10.0, 33.0, 1.0, 1.0)  # what an error of one unit of each part of a pose moves, roughly


def pose_loss(predicted: Tensor, true: Tensor) -> Tensor:
    """Mean error in pixels, roughly, of poses [..., POSE] or of their first parts."""
    weight = predicted.new_tensor(POSE_PIXELS[: predicted.shape[-1]])
    off = (predicted - true) * weight
    if off.shape[-1] == POSE:
        # The change of tilt, not the tilt after it: a clip that looked down looks up again, so from a picture alone, which
        # tells little of the tilt, the best guess of where a look up ends would be straight ahead, which is no change at all.
        off = torch.cat((off[..., :-1], off[..., -1:] - off[..., -2:-1]), -1)
    # Quadratic below a pixel, so that the many chunks that do not look up or down have no say in those that do.
    return F.smooth_l1_loss(off, torch.zeros_like(off), reduction="none").sum(-1).mean()


def depth_terms(scene: Scene, pose: Tensor, true_motion: Tensor) -> dict[str, Tensor]:
    """Losses of a predicted depth under the true camera, pose [B, F, POSE], and true_motion [B, F, 3, H, W] in pixels with
    visibility.

    `depth`: how far, in pixels, points that are seen twice land from where they were seen, through the predicted depth;
    `landing`: the same under the predicted camera, which alone learns from it: where the depth is out of scale, the camera
    has to be so too; `covered`: cross-entropy of what stays where it is while the camera moves.
    """
    batch, frames = pose.shape[:2]
    to = grid(*true_motion.shape[-2:], pose)
    source = to + true_motion[:, :, :2].movedim(2, -1)
    visible, still = true_motion[:, :, 2] > 0, (true_motion[:, :, :2] == 0).all(2)
    maps = torch.cat((scene.inverse_depth, scene.covered), 1).repeat_interleave(frames, 0)
    near, cover = look_up(maps, source.flatten(0, 1)).unflatten(0, (batch, frames)).unbind(2)
    size = (true_motion.shape[-2], true_motion.shape[-1])
    world = visible & ~still

    def missed(near: Tensor, pose: Tensor) -> Tensor:
        landed, _ = carry(source, near, pose[:, :, None, None], size)
        off = ((landed - to) ** 2).sum(-1).add(1e-4).sqrt().clamp(max=100)
        # The logarithm keeps a few far-off points (a wall in front of the nose) from drowning the many that are almost right.
        return (FAR_OFF * torch.log1p(off / FAR_OFF) * world).sum() / world.sum().clamp(min=1)

    judged = visible & camera_moves(pose)[..., None, None]
    wrong = F.binary_cross_entropy_with_logits(cover, still.float(), reduction="none")
    return {"depth": missed(near, pose), "landing": missed(near.detach(), scene.pose),
            "covered": (wrong * judged).sum() / judged.sum().clamp(min=1)}


def trust_terms(motion: Motion, warped: Tensor, target: Tensor, true_motion: Tensor) -> dict[str, Tensor]:
    """What a predicted motion is worth. warped [B, 3F, H, W]: the last frame moved; target, of that shape: the true chunk;
    true_motion as for `depth_terms`. `trust` is the cross-entropy of the trust map against what was in view and came out
    right, with weight where content changes in its place; `motion_px` the mean distance to the true source in pixels, where
    it is visible."""
    visible = true_motion[:, :, 2]
    rows, columns = target.shape[-2:]
    scale = motion.source.new_tensor([(columns - 1) / 2, (rows - 1) / 2])
    true_source = grid(rows, columns, motion.source) + true_motion[:, :, :2].movedim(2, -1)
    pixels = (motion.source * scale - true_source).norm(dim=-1).clamp(max=columns)
    error = (warped - target).abs().unflatten(1, (-1, 3)).mean(2)
    seen = visible * (error < TRUSTED_ERROR)
    weight = torch.where(stands(motion) & (error >= TRUSTED_ERROR), CHANGED, 1.0)
    trust = F.binary_cross_entropy_with_logits(motion.trust.float().flatten(1, 2), seen, weight)
    return {"trust": trust, "motion_px": (pixels * visible).sum() / visible.sum().clamp(min=1),
            "trusted": torch.sigmoid(motion.trust.detach()).mean(), "warped_error": error.mean()}


def stands(motion: Motion) -> Tensor:
    """Where the picture stands still: bool [B, F, H, W]."""
    rows, columns = motion.source.shape[2:4]
    scale = motion.source.new_tensor([(columns - 1) / 2, (rows - 1) / 2])
    return (motion.source * scale - grid(rows, columns, motion.source)).norm(dim=-1) < STILL


def drawn_weight(guide: Guide) -> Tensor:
    """Weight [B, 3F, H, W] of the error of each pixel: more where the picture stands and is yet to be drawn."""
    weight = 1 + CHANGED_DRAWN * stands(guide.motion) * (1 - guide.trust)
    return weight.repeat_interleave(guide.warped.shape[1] // weight.shape[1], 1)


def perceptual_loss(net: torch.nn.Module, predicted: Tensor, target: Tensor, frame: Tensor) -> Tensor:
    """LPIPS of one frame per chunk, chosen by `frame` [B]; predicted and target [B, 3F, H, W]."""
    rows = torch.arange(len(frame), device=predicted.device)
    a = predicted.unflatten(1, (-1, 3))[rows, frame]
    b = target.unflatten(1, (-1, 3))[rows, frame]
    net = net.to(predicted.device)
    return net(F.interpolate(a, scale_factor=2.0, mode="bilinear"), F.interpolate(b, scale_factor=2.0, mode="bilinear"))
