"""References: what decoding lost of the last frame, moved like the latents, so that the decoder can give it back."""

from __future__ import annotations

from dataclasses import dataclass

import torch.nn.functional as F
from torch import Tensor

from tv2tv_core.model.geometry import grid
from tv2tv_core.model.motion import STILL


@dataclass(frozen=True)
class Reference:
    """`detail` [B, F, 3, H, W]: by how much earlier frames differ from what their latents alone decode to, where their content
    stands in the chunk to come; `share` [B, F, H, W] in [0, 1]: how much of each pixel of the latents was copied from there."""

    detail: Tensor
    share: Tensor


def displaced(detail: Tensor, source: Tensor) -> Tensor:
    """detail [B, 3, n·H, n·W] sampled where `source` [B, F, H, W, 2] points, which is `Motion.source` of pictures of H x W:
    [B, F, 3, n·H, n·W]. As in `motion.warp`, motion below a quarter of a pixel of H x W is none."""
    batch, frames, rows, columns = source.shape[:4]
    fine = detail.shape[-1] // columns
    pixels = source * source.new_tensor([(columns - 1) / 2, (rows - 1) / 2])
    shift = pixels - grid(rows, columns, source)
    shift = shift.masked_fill(shift.norm(dim=-1, keepdim=True) < STILL, 0).flatten(0, 1).movedim(-1, 1)
    shift = F.interpolate(shift, scale_factor=fine, mode="bilinear", align_corners=False).movedim(1, -1)
    at = (grid(rows, columns, source, fine) + shift) / source.new_tensor([columns / 2, rows / 2])
    moved = F.grid_sample(detail.repeat_interleave(frames, 0), at.clamp(-2, 2), mode="bicubic", padding_mode="border",
                          align_corners=False)
    return moved.unflatten(0, (batch, frames))


def enlarged(share: Tensor, like: Tensor) -> Tensor:
    """share [B, F, H, W] at the size of `like` [..., n·H, n·W]."""
    return F.interpolate(share.float(), size=like.shape[-2:], mode="bilinear", align_corners=False)
