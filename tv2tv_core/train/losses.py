"""The terms of the training objective beyond flow matching: true motion, trust, perception."""

from __future__ import annotations

import torch
import torch.nn.functional as F
from torch import Tensor

from tv2tv_core.model.motion import Motion

TRUSTED_ERROR = 0.2  # mean absolute error (frames in [-1, 1]) up to which a visible pixel was moved to the right place
ROUNDING = 0.01  # half-way point of the robust motion loss, in half image widths


def motion_terms(motion: Motion, warped: Tensor, target: Tensor, true_motion: Tensor) -> dict[str, Tensor]:
    """Losses of a predicted motion.

    warped [B, 3F, H, W]: the last frame moved; target, of that shape: the true chunk; true_motion [B, F, 3, H, W] in
    pixels with visibility. `motion` is the root of the distance to the true source where it is visible (`motion_px`: the
    distance itself, in pixels), `photometric` the error of the warped frames there, `trust` the cross-entropy of the trust
    map against what was in view and came out right.
    """
    rows, columns = target.shape[-2:]
    source = motion.source
    grid_y, grid_x = torch.meshgrid(torch.arange(rows), torch.arange(columns), indexing="ij")
    true_x = (grid_x.to(target) + true_motion[:, :, 0]) / (columns - 1) * 2 - 1
    true_y = (grid_y.to(target) + true_motion[:, :, 1]) / (rows - 1) * 2 - 1
    exact = (source[..., 0] - true_x) ** 2 + ((source[..., 1] - true_y) * rows / columns) ** 2
    distance = (exact + ROUNDING**2).sqrt()
    visible = true_motion[:, :, 2]
    # The root keeps a few far-off pixels (a wall in front of the nose) from drowning the many that are almost right.
    root = ((distance.sqrt() - ROUNDING**0.5) * visible).sum() / visible.sum().clamp(min=1)
    pixels = ((exact.detach().sqrt() * columns / 2) * visible).sum() / visible.sum().clamp(min=1)
    error = (warped - target).abs().unflatten(1, (-1, 3)).mean(2)
    seen = visible * (error.detach() < TRUSTED_ERROR)
    trust = F.binary_cross_entropy_with_logits(motion.trust.float().flatten(1, 2), seen)
    photometric = (visible * error).sum() / visible.sum().clamp(min=1)
    return {"motion": root, "photometric": photometric, "trust": trust, "motion_px": pixels,
            "trusted": torch.sigmoid(motion.trust.detach()).mean(), "warped_error": error.detach().mean()}


def perceptual_loss(net: torch.nn.Module, predicted: Tensor, target: Tensor, frame: Tensor) -> Tensor:
    """LPIPS of one frame per chunk, chosen by `frame` [B]; predicted and target [B, 3F, H, W]."""
    rows = torch.arange(len(frame), device=predicted.device)
    a = predicted.unflatten(1, (-1, 3))[rows, frame]
    b = target.unflatten(1, (-1, 3))[rows, frame]
    net = net.to(predicted.device)
    return net(F.interpolate(a, scale_factor=2.0, mode="bilinear"), F.interpolate(b, scale_factor=2.0, mode="bilinear"))
