"""References: what earlier frames show at full resolution, moved like the latents, for the decoder to keep detail of."""

from __future__ import annotations

from dataclasses import dataclass

import torch.nn.functional as F
from torch import Tensor

from tv2tv_core.model.geometry import grid
from tv2tv_core.model.motion import STILL


@dataclass(frozen=True)
class Reference:
    """`frames` [B, F, 3, H, W]: earlier frames, their content where it stands in the chunk to come; `share` [B, F, H, W] in
    [0, 1]: how much of each pixel of the latents was copied from there."""

    frames: Tensor
    share: Tensor


def displaced(picture: Tensor, source: Tensor) -> Tensor:
    """picture [B, 3, n·H, n·W] sampled where `source` [B, F, H, W, 2] points, which is `Motion.source` of pictures of H x W:
    [B, F, 3, n·H, n·W]. As in `motion.warp`, motion below a quarter of a pixel of H x W is none."""
    batch, frames, rows, columns = source.shape[:4]
    fine = picture.shape[-1] // columns
    pixels = source * source.new_tensor([(columns - 1) / 2, (rows - 1) / 2])
    shift = pixels - grid(rows, columns, source)
    shift = shift.masked_fill(shift.norm(dim=-1, keepdim=True) < STILL, 0).flatten(0, 1).movedim(-1, 1)
    shift = F.interpolate(shift, scale_factor=fine, mode="bilinear", align_corners=False).movedim(1, -1)
    at = (grid(rows, columns, source, fine) + shift) / source.new_tensor([columns / 2, rows / 2])
    moved = F.grid_sample(picture.repeat_interleave(frames, 0), at.clamp(-2, 2), mode="bicubic", padding_mode="border",
                          align_corners=False)
    return moved.clamp(-1, 1).unflatten(0, (batch, frames))


def enlarged(share: Tensor, like: Tensor) -> Tensor:
    """share [B, F, H, W] at the size of `like` [..., n·H, n·W]."""
    return F.interpolate(share.float(), size=like.shape[-2:], mode="bilinear", align_corners=False)
