"""LPIPS: how different two pictures look, as the distance of AlexNet features (Zhang et al. 2018, arXiv 1801.03924).

A frozen network: a measure for evaluation and, because gradients flow to its inputs, a training loss.
"""

from __future__ import annotations

from pathlib import Path

import torch
from safetensors.torch import load_file
from torch import nn
from torch.nn import functional

from tv2tv_core.errors import WeightsError
from tv2tv_core.evaluate.lpips_weights import ensure_lpips_weights

SMALLEST = 32  # pixels; below this the last features of AlexNet vanish
_SHIFT = (-0.030, -0.088, -0.188)
_SCALE = (0.458, 0.448, 0.450)
# AlexNet's convolutions: in, out, kernel, stride, padding. A 3x3 max-pool of stride 2 comes before two of them.
_CONVS = ((3, 64, 11, 4, 2), (64, 192, 5, 1, 2), (192, 384, 3, 1, 1), (384, 256, 3, 1, 1), (256, 256, 3, 1, 1))
_POOL_BEFORE = (1, 2)


class Lpips(nn.Module):
    """The LPIPS distance with AlexNet, version 0.1 of the authors' linear heads; about 0 (same) to 1 (unrelated)."""

    def __init__(self, upsample: int = 1, weights: Path | None = None) -> None:
        """`upsample` enlarges both pictures first (bilinear).

        AlexNet starts with stride 4 and was trained at 224 pixels, so pictures of less than about 64 pixels a side are
        better compared with `upsample=2`. Values with different `upsample` are not comparable. Raises WeightsError
        when the weights are missing or do not fit.
        """
        super().__init__()
        self.upsample = upsample
        self.convs = nn.ModuleList(nn.Conv2d(*conv[:3], stride=conv[3], padding=conv[4]) for conv in _CONVS)
        self.heads = nn.ParameterList(torch.zeros(conv[1]) for conv in _CONVS)
        path = weights or ensure_lpips_weights()
        try:
            self.load_state_dict(load_file(path))
        except RuntimeError as error:
            raise WeightsError(f"{path} does not fit LPIPS with AlexNet; restore it from the repository.") from error
        self.register_buffer("shift", torch.tensor(_SHIFT).view(1, 3, 1, 1), persistent=False)
        self.register_buffer("scale", torch.tensor(_SCALE).view(1, 3, 1, 1), persistent=False)
        self.requires_grad_(False)

    def forward(self, a: torch.Tensor, b: torch.Tensor) -> torch.Tensor:
        """Distance [B] of two batches of pictures, float BCHW RGB in [-1, 1]; differentiable in both.

        Raises ValueError for other shapes or for pictures that are under SMALLEST pixels after upsampling.
        """
        if a.shape != b.shape or a.dim() != 4 or a.shape[1] != 3:
            raise ValueError(f"LPIPS got shapes {tuple(a.shape)} and {tuple(b.shape)}; it needs two equal [B, 3, H, W]")
        if min(a.shape[2:]) * self.upsample < SMALLEST:
            raise ValueError(f"LPIPS got {tuple(a.shape[2:])} pixels; it needs {SMALLEST} a side, or a larger upsample")
        total = a.new_zeros(a.shape[0], dtype=torch.float32)
        for head, of_a, of_b in zip(self.heads, self.features(a), self.features(b), strict=True):
            squared = (_unit(of_a) - _unit(of_b)).square()
            total = total + (squared * head.view(1, -1, 1, 1)).sum(1).mean((1, 2))
        return total

    def embed(self, x: torch.Tensor) -> torch.Tensor:
        """Pictures, float BCHW RGB in [-1, 1], as vectors [B, D] whose squared Euclidean distance is the LPIPS distance.

        So n pictures are compared with m others by n + m runs of the network. Without upsampling D is about 9 per pixel.
        """
        parts = []
        for head, features in zip(self.heads, self.features(x), strict=True):
            area = features.shape[2] * features.shape[3]
            weight = (head.clamp_min(0) / area).sqrt().view(1, -1, 1, 1)  # the authors keep the heads from going negative
            parts.append((_unit(features) * weight).flatten(1))
        return torch.cat(parts, 1)

    def features(self, x: torch.Tensor) -> list[torch.Tensor]:
        """What AlexNet's five convolutions see in pictures, float BCHW RGB in [-1, 1]: five tensors [B, channels, h, w]."""
        if self.upsample > 1:
            x = functional.interpolate(x, scale_factor=self.upsample, mode="bilinear", align_corners=False)
        x = (x - self.shift) / self.scale
        found = []
        for index, conv in enumerate(self.convs):
            if index in _POOL_BEFORE:
                x = functional.max_pool2d(x, 3, 2)
            x = functional.relu(conv(x))
            found.append(x)
        return found


def _unit(features: torch.Tensor) -> torch.Tensor:
    """Each pixel's features as a direction; the small term under the root keeps the gradient finite at zero."""
    features = features.float()
    return features / ((features.square().sum(1, keepdim=True) + 1e-20).sqrt() + 1e-10)
