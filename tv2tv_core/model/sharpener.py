"""The super-resolution network: a spatiotemporal doubling and a doubling frame by frame, in one step without noise.

Every pixel of the small frame is the mean of the pixels that replace it, exactly as the engine's pairs are made; the
network only decides how to spread it. So sharpening never changes what a frame shows from afar, and two stages cannot
drift apart.

Shapes: B clips, T frames, H x W pixels (any; padded to multiples of 2 inside), RGB in [-1, 1].
"""

from __future__ import annotations

from torch import Tensor, nn
from torch.nn import functional as F

from tv2tv_core.model.codec_blocks import PixelShuffleUp, stack
from tv2tv_core.model.pseudo3d import PseudoBlock, PseudoConv, TemporalAttention

SCALES = (2, 4)
DETAIL_UNIT = 0.25  # keeps the first steps of training calm


class Sharpener(nn.Module):
    """Features at the small size and at half of it, a head for 2x over time and one for 4x per frame."""

    def __init__(
        self, width: int = 32, deep: int = 64, blocks: int = 4, fine: int = 16, temporal: bool = True
    ) -> None:
        """`width` channels at the small size, `deep` at half of it (`blocks` blocks), `fine` at twice the size."""
        super().__init__()
        self.stem = PseudoConv(3, width, temporal=temporal)
        self.down = nn.Conv2d(width, deep, 4, 2, 1)
        self.body = nn.Sequential(*[PseudoBlock(deep, temporal) for _ in range(blocks)])
        self.over_time = TemporalAttention(deep, ordered=False) if temporal else None
        self.up = PixelShuffleUp(deep, width)
        self.merge = nn.Sequential(PseudoBlock(width, temporal), PseudoBlock(width, temporal))
        self.twice = PixelShuffleUp(width, 3, 2, 3)
        self.again = PixelShuffleUp(width, fine, 2, 3)
        self.frame = stack(fine, 1)
        self.four = PixelShuffleUp(fine, 3, 2, 3)
        for head in (self.twice.conv, self.four.conv):
            nn.init.zeros_(head.weight)
            nn.init.zeros_(head.bias)

    def forward(self, frames: Tensor, scales: tuple[int, ...] = SCALES) -> dict[int, Tensor]:
        """Frames [B, T, 3, H, W] → {scale: [B, T, 3, scale·H, scale·W], unclamped float32} for the asked `scales`."""
        shape, (height, width) = frames.shape[:2], frames.shape[-2:]
        small = F.pad(frames.flatten(0, 1), (0, width % 2, 0, height % 2), mode="replicate")
        features = self._features(small.unflatten(0, shape)).flatten(0, 1)
        made = {}
        if 2 in scales:
            made[2] = spread(small, self.twice(features), 2)
        if 4 in scales:
            made[4] = spread(small, self.four(self.frame(F.silu(self.again(features)))), 4)
        return {k: x[..., : k * height, : k * width].unflatten(0, shape) for k, x in made.items()}

    def _features(self, small: Tensor) -> Tensor:
        shape = small.shape[:2]
        near = F.silu(self.stem(small))
        far = self.body(self.down(near.flatten(0, 1)).unflatten(0, shape))
        if self.over_time is not None:
            far = self.over_time(far)
        return self.merge(near + self.up(far.flatten(0, 1)).unflatten(0, shape))


def spread(small: Tensor, detail: Tensor, scale: int) -> Tensor:
    """Bicubic enlargement plus `detail`, corrected so that every `scale` x `scale` block averages to the small pixel."""
    small = small.float()
    made = F.interpolate(small, scale_factor=scale, mode="bicubic", align_corners=False) + DETAIL_UNIT * detail.float()
    missing = small - F.avg_pool2d(made, scale)
    return made + F.interpolate(missing, scale_factor=scale, mode="nearest")


def bicubic(small: Tensor, scale: int) -> Tensor:
    """Plain bicubic enlargement [N, 3, H, W] → [N, 3, scale·H, scale·W]: what the network starts from."""
    return F.interpolate(small.float(), scale_factor=scale, mode="bicubic", align_corners=False)
