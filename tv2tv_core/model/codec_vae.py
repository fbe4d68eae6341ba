"""The latent codec: a small video VAE, 4 frames of 160x96 to one latent frame of 10x6 with 48 channels."""

from __future__ import annotations

import torch
from torch import Tensor, nn
from torch.nn import functional as F

from tv2tv_core.model.codec_blocks import PixelShuffleUp, as_layout, flat, stack, unflat
from tv2tv_core.model.reference import Reference


class VaeCodec(nn.Module):
    """16x spatial, 4x temporal compression; the four frames enter jointly as channels.

    `latents` are the posterior means divided by `spread`, a buffer in which training keeps their running width, so that
    they are about 1 wide per channel.
    """

    def __init__(self, widths: tuple[int, int, int] = (128, 192, 224), blocks: int = 2, channels: int = 48) -> None:
        super().__init__()
        fine, middle, coarse = widths
        self.latent_shape = (channels, 6, 10)
        self.encoder = nn.Sequential(
            nn.PixelUnshuffle(4),
            nn.Conv2d(12 * 16, fine, 3, padding=1),
            *stack(fine, max(1, blocks - 1), norm=True),
            nn.Conv2d(fine, middle, 4, stride=2, padding=1),
            *stack(middle, blocks, norm=True),
            nn.Conv2d(middle, coarse, 4, stride=2, padding=1),
            *stack(coarse, blocks, norm=True),
            nn.Conv2d(coarse, 2 * channels, 3, padding=1),
        )
        self.decoder = nn.Sequential(
            nn.Conv2d(channels, coarse, 3, padding=1),
            *stack(coarse, blocks, norm=True),
            PixelShuffleUp(coarse, middle),
            *stack(middle, blocks, norm=True),
            PixelShuffleUp(middle, fine),
            *stack(fine, blocks, norm=True),
            PixelShuffleUp(fine, 12, factor=4, kernel=3),
        )
        self.register_buffer("spread", torch.ones(channels))

    def posterior(self, frames: Tensor) -> tuple[Tensor, Tensor]:
        """Mean and log variance [B, channels, 6, 10] (unscaled) of frames [B, 4, 3, 96, 160] in [-1, 1]."""
        mean, log_variance = self.encoder(as_layout(flat(frames), self)).chunk(2, dim=1)
        return mean, log_variance.clamp(-20, 4)

    def encode(self, frames: Tensor) -> Tensor:
        """Frames [B, 4, 3, 96, 160] in [-1, 1] → latents [B, channels, 6, 10], float32, std about 1."""
        mean, _ = self.posterior(frames)
        return mean.float() / self.spread.view(1, -1, 1, 1)

    def reconstruct(self, sampled: Tensor) -> Tensor:
        """Unscaled latents → unclamped frames [B, 4, 3, 96, 160]; what training sees."""
        return unflat(self.decoder(as_layout(sampled, self)))

    def decode_with(self, latents: Tensor, reference: Reference | None) -> tuple[Tensor, Tensor]:
        """What `decode` gives, twice: no reference is used."""
        frames = self.decode(latents)
        return frames, frames

    def decode(self, latents: Tensor) -> Tensor:
        """Latents [B, channels, 6, 10] → frames [B, 4, 3, 96, 160], float32 in [-1, 1]."""
        return self.reconstruct(latents * self.spread.view(1, -1, 1, 1).to(latents)).float().clamp(-1, 1)

    @torch.no_grad()
    def track_spread(self, mean: Tensor, pace: float = 0.02) -> None:
        """Moves `spread` towards the root mean square of these posterior means, per channel."""
        self.spread.lerp_(mean.float().square().mean(dim=(0, 2, 3)).sqrt().clamp_min(1e-3).to(self.spread), pace)

    @staticmethod
    def divergence(mean: Tensor, log_variance: Tensor) -> Tensor:
        """KL of the posterior from a standard normal, mean over everything (nats per latent value)."""
        return 0.5 * F.relu(mean.square() + log_variance.exp() - 1 - log_variance).mean()
