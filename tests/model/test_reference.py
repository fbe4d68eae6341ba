"""The detail of a reference stands where the latents that were moved stand."""

from __future__ import annotations

import torch
import torch.nn.functional as F

from tv2tv_core.model.geometry import grid
from tv2tv_core.model.motion import STILL, warp
from tv2tv_core.model.reference import displaced, enlarged

ROWS, COLUMNS = 24, 40


def picture(smooth: int = 1) -> torch.Tensor:
    """[1, 3, 2 ROWS, 2 COLUMNS], random; `smooth`: pixels of its patches."""
    small = torch.rand(1, 3, 2 * ROWS // smooth, 2 * COLUMNS // smooth, generator=torch.Generator().manual_seed(0)) * 2 - 1
    return F.interpolate(small, size=(2 * ROWS, 2 * COLUMNS), mode="bicubic").clamp(-1, 1) if smooth > 1 else small


def moved_by(x: float, y: float) -> torch.Tensor:
    """`Motion.source` of two frames in which everything comes from x, y pixels further on."""
    pixels = (grid(ROWS, COLUMNS, torch.zeros(())) + torch.tensor([x, y])) / torch.tensor([(COLUMNS - 1) / 2, (ROWS - 1) / 2])
    return pixels.expand(1, 2, -1, -1, -1)


def test_what_stands_is_the_picture_itself() -> None:
    for x, y in ((0.0, 0.0), (0.7 * STILL, 0.7 * STILL)):
        torch.testing.assert_close(displaced(picture(), moved_by(x, y))[:, 1], picture(), atol=1e-4, rtol=0)


def test_pixels_come_from_where_the_source_points() -> None:
    """Three pixels of the latents are six of the picture, and a half of one is one."""
    found = displaced(picture(), moved_by(3.0, 0.5))[:, 0]
    torch.testing.assert_close(found[..., 2:-2, 2:-10], picture()[..., 3:-1, 8:-4], atol=1e-4, rtol=0)


def test_the_reference_shows_what_the_latents_show() -> None:
    """Shrunk to their size it is the same picture, up to what sampling does to detail."""
    sharp = picture(smooth=8)
    for source in (moved_by(2.3, -1.6), moved_by(0, 0), moved_by(-0.4, 0.3), moved_by(5.0, 4.0)):
        small = warp(F.avg_pool2d(sharp, 2), source)
        shrunk = F.avg_pool2d(displaced(sharp, source).flatten(0, 1), 2)
        torch.testing.assert_close(shrunk[..., 6:-6, 6:-6], small.flatten(0, 1)[..., 6:-6, 6:-6], atol=0.08, rtol=0)


def test_the_share_keeps_its_place_and_range() -> None:
    share = torch.zeros(1, 2, ROWS, COLUMNS)
    share[..., : COLUMNS // 2] = 1
    large = enlarged(share, displaced(picture(), moved_by(0, 0)))
    assert large.shape == (1, 2, 2 * ROWS, 2 * COLUMNS)
    assert (large[..., : COLUMNS - 1] == 1).all() and (large[..., COLUMNS + 1 :] == 0).all()
