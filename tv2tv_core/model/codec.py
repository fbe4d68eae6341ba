"""Codecs between frames and latent chunks behind one protocol; the default keeps small pixels and learns the rest."""

from __future__ import annotations

from typing import Any, Protocol

import torch
from torch import Tensor, nn
from torch.nn import functional as F

from tv2tv_core.errors import WeightsError
from tv2tv_core.model.codec_blocks import PixelShuffleUp, as_layout, flat, stack, unflat
from tv2tv_core.model.codec_vae import VaeCodec
from tv2tv_core.model.reference import Reference

SEEN = 4 * (12 + 4)  # channels: detail and share of four frames, each pixel of the latents holding four of theirs
OPEN_GATE = 2.0  # logit with which training begins


class Codec(Protocol):
    """Frames ⇄ latents, a chunk at a time; the video tower only knows the latents."""

    latent_shape: tuple[int, int, int]

    def encode(self, frames: Tensor) -> Tensor:
        """Frames [B, 4, 3, 96, 160] in [-1, 1] → latents [B, *latent_shape], float32."""

    def decode(self, latents: Tensor, reference: Reference | None = None) -> Tensor:
        """Latents [B, *latent_shape] → frames [B, 4, 3, 96, 160], float32 in [-1, 1]; a codec that cannot use a reference
        leaves it out."""


class Upsampler(nn.Module):
    """[B, 12, h, w] → [B, 12, 2h, 2w] for even h, w: a bicubic doubling plus a learned residual.

    A shallow path at full latent size keeps positions exact, a deep one at half of it has the width to know the
    textures. The four frames go through jointly, so that one frame's detail can serve its neighbours. Detail
    that a reference still has is kept in place of detail that is guessed: all of it, or with `reference` as much as a learned
    gate says. Every pixel lies between the two, so what is handed on from chunk to chunk cannot grow.
    """

    def __init__(self, width: int = 48, deep: int = 128, blocks: int = 3, reference: bool = False) -> None:
        super().__init__()
        self.stem = nn.Sequential(nn.Conv2d(12, width, 3, padding=1), nn.SiLU())
        self.down = nn.Conv2d(width, deep, 4, stride=2, padding=1)
        self.body = stack(deep, blocks)
        self.up = PixelShuffleUp(deep, width)
        self.merge = stack(width, 2)
        self.out = PixelShuffleUp(width, 12, kernel=3)
        nn.init.zeros_(self.out.conv.weight)
        nn.init.zeros_(self.out.conv.bias)
        self.gate = None
        if reference:
            self.gate = nn.Sequential(
                nn.Conv2d(width + SEEN, width, 3, padding=1), nn.SiLU(), PixelShuffleUp(width, 4, kernel=3))
            nn.init.zeros_(self.gate[-1].conv.weight)
            nn.init.constant_(self.gate[-1].conv.bias, OPEN_GATE)

    def forward(self, planes: Tensor, reference: Reference | None = None) -> Tensor:
        """Unclamped planes at twice the size."""
        fine = self.stem(planes)
        fine = self.merge(fine + self.up(self.body(self.down(fine))))
        smooth = _doubled(planes)
        guessed = smooth + self.out(fine)
        if reference is None:
            return guessed
        known, share = flat(reference.frames).to(planes), reference.share.to(planes)
        detail = known - _doubled(F.avg_pool2d(known, 2))  # on the latents' colours, which may have changed
        if self.gate is not None:
            seen = F.pixel_unshuffle(torch.cat((detail * share.repeat_interleave(3, 1), share), 1), 2)
            share = share * torch.sigmoid(self.gate(torch.cat((fine, seen), 1)))
        return guessed + share.repeat_interleave(3, 1) * (smooth + detail - guessed)


def _doubled(planes: Tensor) -> Tensor:
    return F.interpolate(planes, scale_factor=2, mode="bicubic", align_corners=False)


class PixelCodec(nn.Module):
    """Latents are the four frames at 80x48, area-downsampled, in [-1, 1]; only the way back up is learned."""

    latent_shape = (12, 48, 80)

    def __init__(self, width: int = 48, deep: int = 128, blocks: int = 3, reference: bool = False) -> None:
        super().__init__()
        self.upsampler = Upsampler(width, deep, blocks, reference)

    def encode(self, frames: Tensor) -> Tensor:
        """Frames [B, 4, 3, 96, 160] in [-1, 1] → latents [B, 12, 48, 80], frame-major; any even size works alike."""
        return F.avg_pool2d(flat(frames).float(), 2)

    def reconstruct(self, latents: Tensor, reference: Reference | None = None) -> Tensor:
        """Unclamped frames; what training sees."""
        return unflat(self.upsampler(as_layout(latents, self), reference))

    def decode(self, latents: Tensor, reference: Reference | None = None) -> Tensor:
        """Latents [B, 12, 48, 80] → frames [B, 4, 3, 96, 160], float32 in [-1, 1]."""
        return self.reconstruct(latents, reference).float().clamp(-1, 1)


KINDS = {"pixel": PixelCodec, "vae": VaeCodec}


def build_codec(config: dict[str, Any]) -> PixelCodec | VaeCodec:
    """A codec with fresh weights from {"kind": "pixel" | "vae", **sizes}.

    Of pixel: width, deep, blocks, and whether a gate for a `reference` is learned; of vae: widths (3), blocks, channels.
    Raises WeightsError for an unknown kind or size, because such a config comes with weights.
    """
    sizes = {key: tuple(value) if isinstance(value, list) else value for key, value in config.items() if key != "kind"}
    kind = config.get("kind", "pixel")
    if kind not in KINDS:
        raise WeightsError(f"Unknown codec {kind!r}: this version knows {', '.join(KINDS)}. Use other weights.")
    try:
        return KINDS[kind](**sizes)
    except TypeError as error:
        raise WeightsError(f"The codec config {sizes} does not fit kind {kind!r}: {error}.") from error
