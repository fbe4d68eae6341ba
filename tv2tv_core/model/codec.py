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

    def decode(self, latents: Tensor) -> Tensor:
        """Latents [B, *latent_shape] → frames [B, 4, 3, 96, 160], float32 in [-1, 1]."""

    def decode_with(self, latents: Tensor, reference: Reference | None) -> tuple[Tensor, Tensor]:
        """What `decode` gives, and the frames [B, 4, 3, 96, 160] with what a reference adds; a codec that cannot use one
        gives the same twice."""


class Upsampler(nn.Module):
    """[B, 12, h, w] → [B, 12, 2h, 2w] for even h, w: a bicubic doubling plus a learned residual.

    A shallow path at full latent size keeps positions exact, a deep one at half of it has the width to know the
    textures. The four frames go through jointly, so that one frame's detail can serve its neighbours. What a reference knows
    better is added: all of it, or with `reference` as much as a learned gate lets through, which never amplifies.
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
        self.gate = PixelShuffleUp(width + SEEN, 4, kernel=3) if reference else None
        if self.gate is not None:
            nn.init.zeros_(self.gate.conv.weight)
            nn.init.constant_(self.gate.conv.bias, OPEN_GATE)

    def forward(self, planes: Tensor, reference: Reference | None = None) -> tuple[Tensor, Tensor]:
        """Unclamped planes at twice the size, without and with what the reference adds."""
        fine = self.stem(planes)
        fine = self.merge(fine + self.up(self.body(self.down(fine))))
        plain = F.interpolate(planes, scale_factor=2, mode="bicubic", align_corners=False) + self.out(fine)
        if reference is None:
            return plain, plain
        detail, share = flat(reference.detail).to(planes), reference.share.to(planes)
        if self.gate is not None:
            seen = F.pixel_unshuffle(torch.cat((detail * share.repeat_interleave(3, 1), share), 1), 2)
            share = share * torch.sigmoid(self.gate(torch.cat((fine, seen), 1)))
        return plain, plain + share.repeat_interleave(3, 1) * detail


class PixelCodec(nn.Module):
    """Latents are the four frames at 80x48, area-downsampled, in [-1, 1]; only the way back up is learned."""

    latent_shape = (12, 48, 80)

    def __init__(self, width: int = 48, deep: int = 128, blocks: int = 3, reference: bool = False) -> None:
        super().__init__()
        self.upsampler = Upsampler(width, deep, blocks, reference)

    def encode(self, frames: Tensor) -> Tensor:
        """Frames [B, 4, 3, 96, 160] in [-1, 1] → latents [B, 12, 48, 80], frame-major; any even size works alike."""
        return F.avg_pool2d(flat(frames).float(), 2)

    def reconstruct(self, latents: Tensor) -> Tensor:
        """Unclamped frames; what training sees."""
        return self.both(latents, None)[0]

    def both(self, latents: Tensor, reference: Reference | None) -> tuple[Tensor, Tensor]:
        """`decode_with`, unclamped."""
        plain, whole = self.upsampler(as_layout(latents, self), reference)
        return unflat(plain), unflat(whole)

    def decode(self, latents: Tensor) -> Tensor:
        """Latents [B, 12, 48, 80] → frames [B, 4, 3, 96, 160], float32 in [-1, 1]."""
        return self.reconstruct(latents).float().clamp(-1, 1)

    def decode_with(self, latents: Tensor, reference: Reference | None) -> tuple[Tensor, Tensor]:
        """What `decode` gives, and the frames [B, 4, 3, 96, 160] with what the reference adds, float32 in [-1, 1]."""
        plain, whole = self.both(latents, reference)
        return plain.float().clamp(-1, 1), whole.float().clamp(-1, 1)


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
