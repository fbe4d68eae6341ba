"""What being moved again and again does to a frame: augmentation for history."""

from __future__ import annotations

import torch
import torch.nn.functional as F
from torch import Tensor


def wear(latents: Tensor, times: int, rng: torch.Generator) -> Tensor:
    """Latents [B, C, H, W] moved there and back `times` times by up to half a pixel: the blur of repeated resampling."""
    for _ in range(times):
        shift = (torch.rand(len(latents), 2, generator=rng) - 0.5) * 2 / torch.tensor(latents.shape[-1:-3:-1])
        for sign in (1.0, -1.0):
            affine = torch.cat((torch.eye(2).expand(len(latents), 2, 2), sign * shift[..., None]), -1).to(latents)
            grid = F.affine_grid(affine, list(latents.shape), align_corners=True)
            latents = F.grid_sample(latents, grid, mode="bicubic", padding_mode="border", align_corners=True)
    return latents
