"""Convolution blocks shared by the codecs: residual blocks without attention, cheap on a CPU."""

from __future__ import annotations

import torch
from torch import Tensor, nn
from torch.nn import functional as F


class ResidualBlock(nn.Module):
    """x + conv(act(conv(x))) with the last convolution starting at zero; `norm` adds group norm before each one.

    Without normalisation the block is two convolutions and one activation: memory traffic, not arithmetic, is what a
    CPU runs out of at 80x48 pixels.
    """

    def __init__(self, width: int, norm: bool = False) -> None:
        super().__init__()
        self.first = nn.Conv2d(width, width, 3, padding=1)
        self.second = nn.Conv2d(width, width, 3, padding=1)
        self.norms = nn.ModuleList([nn.GroupNorm(8, width) for _ in range(2)]) if norm else None
        nn.init.zeros_(self.second.weight)
        nn.init.zeros_(self.second.bias)

    def forward(self, x: Tensor) -> Tensor:
        """[B, width, h, w] → the same shape."""
        if self.norms is None:
            return x + self.second(F.silu(self.first(x)))
        hidden = self.first(F.silu(self.norms[0](x)))
        return x + self.second(F.silu(self.norms[1](hidden)))


def stack(width: int, count: int, norm: bool = False) -> nn.Sequential:
    """`count` residual blocks of one width."""
    return nn.Sequential(*[ResidualBlock(width, norm) for _ in range(count)])


class PixelShuffleUp(nn.Module):
    """A convolution to `out` channels at `factor` times the size, through sub-pixel rearrangement."""

    def __init__(self, width: int, out: int, factor: int = 2, kernel: int = 1) -> None:
        super().__init__()
        self.factor = factor
        self.conv = nn.Conv2d(width, out * factor * factor, kernel, padding=kernel // 2)

    def forward(self, x: Tensor) -> Tensor:
        """[B, width, h, w] → [B, out, h·factor, w·factor]."""
        return F.pixel_shuffle(self.conv(x), self.factor)


def flat(frames: Tensor) -> Tensor:
    """[B, 4, 3, H, W] → [B, 12, H, W], frame-major."""
    return frames.flatten(1, 2)


def unflat(planes: Tensor) -> Tensor:
    """[B, 12, H, W] → [B, 4, 3, H, W]."""
    return planes.unflatten(1, (4, 3))


def as_layout(x: Tensor, like: nn.Module) -> Tensor:
    """`x` in the type and device of `like`'s parameters and in channels-last memory order."""
    parameter = next(like.parameters())
    return x.to(device=parameter.device, dtype=parameter.dtype).contiguous(memory_format=torch.channels_last)
