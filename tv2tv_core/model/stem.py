"""The way between latents and video tokens: a small U-Net with skips (LMFusion) or a linear patch (Transfusion)."""

from __future__ import annotations

import math

import torch
import torch.nn.functional as F
from torch import Tensor, nn

TIME_FEATURES = 64


def time_features(time: Tensor) -> Tensor:
    """Sinusoidal features [..., 64] of flow times in [0, 1]."""
    scale = torch.exp(-math.log(10_000.0) * torch.arange(TIME_FEATURES // 2, device=time.device) / (TIME_FEATURES // 2))
    angles = time[..., None].float() * 1000 * scale
    return torch.cat((angles.sin(), angles.cos()), -1)


def groups(channels: int) -> int:
    """Group count for group normalisation: 8 where it divides, else the largest smaller power of two that does."""
    return math.gcd(channels, 8)


class ResidualBlock(nn.Module):
    """Two 3x3 convolutions around a scale and shift by the condition; identity at initialisation when widths agree."""

    def __init__(self, inputs: int, outputs: int, condition: int) -> None:
        super().__init__()
        self.norm_in = nn.GroupNorm(groups(inputs), inputs)
        self.conv_in = nn.Conv2d(inputs, outputs, 3, padding=1)
        self.norm_mid = nn.GroupNorm(groups(outputs), outputs, affine=False)
        self.modulate = nn.Linear(condition, 2 * outputs)
        self.conv_out = nn.Conv2d(outputs, outputs, 3, padding=1)
        self.skip = nn.Conv2d(inputs, outputs, 1) if inputs != outputs else nn.Identity()
        nn.init.zeros_(self.conv_out.weight)
        nn.init.zeros_(self.conv_out.bias)

    def forward(self, x: Tensor, condition: Tensor) -> Tensor:
        """x [B, inputs, H, W], condition [B, condition] → [B, outputs, H, W]."""
        hidden = self.conv_in(F.silu(self.norm_in(x)))
        scale, shift = self.modulate(condition)[:, :, None, None].chunk(2, 1)
        hidden = self.conv_out(F.silu(self.norm_mid(hidden) * (1 + scale) + shift))
        return self.skip(x) + hidden


def coordinates(rows: int, columns: int, like: Tensor) -> Tensor:
    """Channels [1, 2, rows, columns] of x in [-1, 1] and y in ±rows/columns."""
    y = torch.linspace(-rows / columns, rows / columns, rows, device=like.device, dtype=like.dtype)
    x = torch.linspace(-1, 1, columns, device=like.device, dtype=like.dtype)
    return torch.stack(torch.broadcast_tensors(x[None, :], y[:, None]))[None]


class UNetStem(nn.Module):
    """Down- and up-sampler around the video tower.

    `down` takes [B, channels, rows, columns] to tokens [B, rows/patch · columns/patch, width] and keeps skips; `up`
    takes tokens and skips back to [B, out_channels, rows, columns]. The tower's result joins through a projection that
    is zero at initialisation, so a trained stem stands by itself before the tower learns.
    """

    def __init__(self, channels: int, out_channels: int, patch: int, widths: tuple[int, ...], width: int,
                 condition: int) -> None:
        super().__init__()
        self.levels = len(widths)
        self.fold = patch // 2 ** (self.levels - 1)  # pixels folded into channels before the first level
        if self.fold < 1 or self.fold * 2 ** (self.levels - 1) != patch:
            raise ValueError(f"a patch of {patch} cannot be reached with {self.levels} levels")
        self.enter = nn.Conv2d(channels * self.fold**2 + 2, widths[0], 3, padding=1)
        steps = list(zip((widths[0], *widths[:-1]), widths, strict=True))
        self.down_blocks = nn.ModuleList(ResidualBlock(before, after, condition) for before, after in steps)
        self.to_tokens = nn.Conv2d(widths[-1], width, 1)
        self.from_norm = nn.RMSNorm(width)
        self.from_tokens = nn.Linear(width, widths[-1])
        nn.init.zeros_(self.from_tokens.weight)
        nn.init.zeros_(self.from_tokens.bias)
        self.middle = ResidualBlock(widths[-1], widths[-1], condition)
        above = (*widths[1:], widths[-1])
        self.up_blocks = nn.ModuleList(
            ResidualBlock(after + here, here, condition) for here, after in reversed(list(zip(widths, above, strict=True)))
        )
        self.norm = nn.GroupNorm(groups(widths[0]), widths[0])
        self.leave = nn.Conv2d(widths[0], out_channels * self.fold**2, 3, padding=1)
        nn.init.zeros_(self.leave.weight)
        nn.init.zeros_(self.leave.bias)

    def down(self, x: Tensor, condition: Tensor) -> tuple[Tensor, list[Tensor]]:
        """Tokens of x, and the skips that `up` wants back."""
        hidden = F.pixel_unshuffle(x, self.fold)
        place = coordinates(*hidden.shape[-2:], hidden).expand(len(hidden), -1, -1, -1)
        hidden = self.enter(torch.cat((hidden, place), 1))
        skips = []
        for level, block in enumerate(self.down_blocks):
            hidden = block(F.avg_pool2d(hidden, 2) if level else hidden, condition)
            skips.append(hidden)
        return self.to_tokens(hidden).flatten(2).transpose(1, 2), skips

    def up(self, tokens: Tensor | None, skips: list[Tensor], condition: Tensor) -> Tensor:
        """Latent-shaped output; `tokens` None leaves the tower out."""
        hidden = skips[-1]
        if tokens is not None:
            joined = self.from_tokens(self.from_norm(tokens)).transpose(1, 2)
            hidden = hidden + joined.reshape(hidden.shape)
        hidden = self.middle(hidden, condition)
        for level, block in enumerate(self.up_blocks):
            if level:
                hidden = F.interpolate(hidden, scale_factor=2.0)
            hidden = block(torch.cat((hidden, skips[-1 - level]), 1), condition)
        return F.pixel_shuffle(self.leave(F.silu(self.norm(hidden))), self.fold)


class LinearStem(nn.Module):
    """Square patches through one linear layer each way (Transfusion's cheap variant); same interface as UNetStem."""

    def __init__(self, channels: int, out_channels: int, patch: int, width: int, condition: int) -> None:
        super().__init__()
        self.patch = patch
        self.enter = nn.Linear(channels * patch**2, width)
        self.modulate = nn.Linear(condition, width)
        self.norm = nn.RMSNorm(width)
        self.leave = nn.Linear(width, out_channels * patch**2)
        nn.init.zeros_(self.leave.weight)
        nn.init.zeros_(self.leave.bias)

    def down(self, x: Tensor, condition: Tensor) -> tuple[Tensor, list[Tensor]]:
        """Tokens of x; the skip is only what `up` needs to know the grid."""
        folded = F.pixel_unshuffle(x, self.patch)
        tokens = self.enter(folded.flatten(2).transpose(1, 2)) + self.modulate(condition)[:, None]
        return tokens, [folded[:, :1]]

    def up(self, tokens: Tensor | None, skips: list[Tensor], condition: Tensor) -> Tensor:
        """Latent-shaped output [B, out_channels, rows, columns]."""
        if tokens is None:
            raise ValueError("a linear stem has no output of its own: it needs the video tower's tokens")
        rows, columns = skips[0].shape[-2:]
        out = self.leave(self.norm(tokens)).transpose(1, 2).unflatten(2, (rows, columns))
        return F.pixel_shuffle(out, self.patch)
