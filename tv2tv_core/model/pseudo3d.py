"""Pseudo-3D layers (Make-A-Video, arXiv 2209.14792): an image layer, then the same along time, starting as the identity.

A 2-D convolution is followed by a 1-D one over time (a Dirac impulse at first), spatial attention by attention over time
(its output zero at first). So a fresh video network equals its image network frame by frame and learns motion from there.

Shapes: B clips, T frames, C channels, H x W pixels; every layer takes and gives [B, T, C, H, W].
"""

from __future__ import annotations

import math

import torch
from torch import Tensor, nn
from torch.nn import functional as F


class TemporalConv(nn.Module):
    """A 1-D convolution over three frames at every pixel; beyond the ends of a clip there are zeros."""

    def __init__(self, width: int) -> None:
        super().__init__()
        self.weight = nn.Parameter(torch.zeros(width, width, 3))
        self.bias = nn.Parameter(torch.zeros(width))
        nn.init.dirac_(self.weight)

    def forward(self, x: Tensor) -> Tensor:
        """[B, T, C, H, W] → the same shape."""
        padded = F.pad(x, (0, 0, 0, 0, 0, 0, 1, 1))
        # One 1x1 convolution over three frames stacked as channels: no pixel has to move in memory.
        three = torch.cat([padded[:, k : k + x.shape[1]] for k in range(3)], dim=2)
        kernel = self.weight.transpose(1, 2).flatten(1)[:, :, None, None]
        return F.conv2d(three.flatten(0, 1), kernel, self.bias).unflatten(0, x.shape[:2])


class PseudoConv(nn.Module):
    """A 2-D convolution of every frame, then, unless `temporal` is off, a `TemporalConv`."""

    def __init__(self, inputs: int, outputs: int, kernel: int = 3, stride: int = 1, temporal: bool = True) -> None:
        super().__init__()
        self.image = nn.Conv2d(inputs, outputs, kernel, stride, padding=(kernel - 1) // 2)
        self.time = TemporalConv(outputs) if temporal else None

    def forward(self, x: Tensor) -> Tensor:
        """[B, T, inputs, H, W] → [B, T, outputs, H / stride, W / stride]."""
        made = self.image(x.flatten(0, 1)).unflatten(0, x.shape[:2])
        return made if self.time is None else self.time(made)


class PseudoBlock(nn.Module):
    """x + conv(act(conv(x))), the second convolution a pseudo-3D one that starts at zero."""

    def __init__(self, width: int, temporal: bool = True) -> None:
        super().__init__()
        self.first = nn.Conv2d(width, width, 3, padding=1)
        self.second = PseudoConv(width, width, temporal=temporal)
        nn.init.zeros_(self.second.image.weight)
        nn.init.zeros_(self.second.image.bias)

    def forward(self, x: Tensor) -> Tensor:
        """[B, T, C, H, W] → the same shape."""
        hidden = F.silu(self.first(x.flatten(0, 1))).unflatten(0, x.shape[:2])
        return x + self.second(hidden)


class Attention(nn.Module):
    """Residual self-attention over the middle axis of [N, L, C]; its output starts at zero."""

    def __init__(self, width: int, heads: int) -> None:
        super().__init__()
        self.heads = heads
        self.norm = nn.LayerNorm(width)
        self.inputs = nn.Linear(width, 3 * width)
        self.output = nn.Linear(width, width)
        nn.init.zeros_(self.output.weight)
        nn.init.zeros_(self.output.bias)

    def forward(self, x: Tensor, positions: Tensor | None = None) -> Tensor:
        """[N, L, C] → the same shape; `positions` [L, C] is added to what queries, keys and values are made of."""
        hidden = self.norm(x) if positions is None else self.norm(x) + positions
        q, k, v = (t.unflatten(-1, (self.heads, -1)).transpose(1, 2) for t in self.inputs(hidden).chunk(3, dim=-1))
        mixed = F.scaled_dot_product_attention(q, k, v).transpose(1, 2).flatten(2)
        return x + self.output(mixed)


class TemporalAttention(nn.Module):
    """Attention over the frames of every pixel; unless `ordered` is off, the frames know their order from sines.

    Without order a network may be used on longer windows than it was trained on.
    """

    def __init__(self, width: int, heads: int = 4, ordered: bool = True) -> None:
        super().__init__()
        self.attention = Attention(width, heads)
        self.ordered = ordered

    def forward(self, x: Tensor) -> Tensor:
        """[B, T, C, H, W] → the same shape."""
        b, t, c, h, w = x.shape
        frames = x.permute(0, 3, 4, 1, 2).reshape(b * h * w, t, c)
        positions = _positions(t, c).to(x) if self.ordered else None
        return self.attention(frames, positions).unflatten(0, (b, h, w)).permute(0, 3, 4, 1, 2)


class PseudoAttention(nn.Module):
    """Attention over the pixels of every frame, then, unless `temporal` is off, over the frames of every pixel."""

    def __init__(self, width: int, heads: int = 4, temporal: bool = True) -> None:
        super().__init__()
        self.image = Attention(width, heads)
        self.time = TemporalAttention(width, heads) if temporal else None

    def forward(self, x: Tensor) -> Tensor:
        """[B, T, C, H, W] → the same shape."""
        b, t, _, h, w = x.shape
        pixels = self.image(x.flatten(0, 1).flatten(2).transpose(1, 2))
        made = pixels.transpose(1, 2).unflatten(2, (h, w)).unflatten(0, (b, t))
        return made if self.time is None else self.time(made)


def _positions(count: int, width: int) -> Tensor:
    """Sine and cosine of frame numbers, [count, width]."""
    rates = torch.exp(-math.log(100.0) * torch.arange(0, width, 2) / width)
    angles = torch.arange(count)[:, None] * rates
    return torch.stack([angles.sin(), angles.cos()], dim=-1).flatten(1)[:, :width]
