"""Rotary position embedding with three axes (time, row, column), equal to the plain one wherever all three agree."""

from __future__ import annotations

import math

import torch
from torch import Tensor

from tv2tv_core.model.config import RopeScaling, TextConfig

# Which axis each rotary frequency follows, repeated along the frequencies: half time, a quarter row, a quarter column.
# Interleaved, so that each axis gets fast and slow frequencies.
AXES = (0, 1, 0, 2)


def _rescale(frequencies: Tensor, scaling: RopeScaling) -> Tensor:
    """Llama 3's rescaling: slow frequencies are divided by `factor`, fast ones kept, those between blended."""
    wavelengths = 2 * math.pi / frequencies
    turns = scaling.original_context / wavelengths
    blend = (turns - scaling.low_freq_factor) / (scaling.high_freq_factor - scaling.low_freq_factor)
    blend = blend.clamp(0, 1)
    return (1 - blend) * frequencies / scaling.factor + blend * frequencies


def frequencies(config: TextConfig) -> Tensor:
    """Rotary frequencies in radians per position, float32 [head_dim / 2]."""
    exponents = torch.arange(0, config.head_dim, 2, dtype=torch.float32) / config.head_dim
    plain = config.rope_theta ** -exponents
    return plain if config.rope_scaling is None else _rescale(plain, config.rope_scaling)


def tables(positions: Tensor, frequency: Tensor) -> tuple[Tensor, Tensor]:
    """Cosine and sine, float32 [..., head_dim], for positions [..., 3] = (time, row, column)."""
    axes = torch.tensor([AXES[i % len(AXES)] for i in range(len(frequency))], device=positions.device)
    angles = positions.float()[..., axes] * frequency
    angles = torch.cat((angles, angles), -1)
    return angles.cos(), angles.sin()


def rotate(x: Tensor, cos: Tensor, sin: Tensor) -> Tensor:
    """Rotate queries or keys [B, S, heads, head_dim] by tables [B or 1, S, head_dim]."""
    cos, sin = cos.unsqueeze(-2).to(x.dtype), sin.unsqueeze(-2).to(x.dtype)
    first, second = x.chunk(2, -1)
    return x * cos + torch.cat((-second, first), -1) * sin


def text_positions(start: int, count: int) -> Tensor:
    """Positions [count, 3] of text tokens: the same index on all three axes."""
    return torch.arange(start, start + count)[:, None].expand(count, 3)


def chunk_positions(start: int, grid: tuple[int, int]) -> Tensor:
    """Positions [rows * columns, 3] of one chunk's tokens: one time, rows and columns counted from `start`."""
    rows, columns = grid
    row = torch.arange(rows).repeat_interleave(columns)
    column = torch.arange(columns).repeat(rows)
    return torch.stack((torch.zeros_like(row), row, column), -1) + start


def chunk_advance(grid: tuple[int, int]) -> int:
    """How far a chunk moves the position of what follows it: past its own rows and columns."""
    return max(grid)
