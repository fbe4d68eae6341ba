"""A camera that moves through a depth map: where the pixels of the last frame go, and where each new pixel comes from.

Positions are pixels from the middle of the picture, x to the right, y down. A pose [..., 6] is what happens between two
frames: forward, right, up (in units of 64 map units, along the axes of the earlier camera), turn (radians, left is
positive), and the tilt before and after (pixels by which the horizon lies below the middle). The camera is the arena's:
a pinhole whose focal length is 5/12 of the width, and which looks up and down by shifting the picture; inverse depth is one
over the distance along the view axis, in the same units (0: the sky). What covers the world (the held weapon) stays where
it is.
"""

from __future__ import annotations

import torch
import torch.nn.functional as F
from torch import Tensor

POSE = 6
MAP_UNITS = 64.0  # of the arena, in one unit of length here
FOCAL_X, FOCAL_Y = 5 / 12, 5 / 6  # of the width, of the height; measured, see data/true_motion.py
NEAREST = 0.05  # of the former distance: what comes nearer lies behind the camera
OUTSIDE = 1e4  # a position that is in no picture
FINE = 2  # points splatted per pixel and axis: closes the gaps up to twofold magnification
FILL = 2  # rounds in which an empty pixel asks its neighbours, for larger magnification
STEPS = 5  # of the fixed-point search for the exact source
NEIGHBOURS = 5  # of eight: with so many a pixel without a source is no opening, only missed
REACHED = 0.75  # pixels by which a found source may miss its target


def grid(rows: int, columns: int, like: Tensor, fine: int = 1) -> Tensor:
    """Positions [rows·fine, columns·fine, 2] of pixel centres (fine > 1: of the parts of every pixel)."""
    y = (torch.arange(rows * fine, device=like.device, dtype=like.dtype) + 0.5) / fine - rows / 2
    x = (torch.arange(columns * fine, device=like.device, dtype=like.dtype) + 0.5) / fine - columns / 2
    return torch.stack(torch.broadcast_tensors(x[None, :], y[:, None]), -1)


def carry(at: Tensor, inverse_depth: Tensor, pose: Tensor, size: tuple[int, int]) -> tuple[Tensor, Tensor]:
    """Where points go: at [..., 2] positions in the earlier picture of `size` (rows, columns), inverse_depth [...], pose
    [..., POSE] → positions [..., 2] and inverse depth [...] in the later one; points behind the camera go OUTSIDE."""
    focal_x, focal_y = FOCAL_X * size[1], FOCAL_Y * size[0]
    forward, right, up, turn, before, after = pose.unbind(-1)
    # All lengths are divided by the point's depth, so that the sky is an ordinary point.
    ahead = 1 - forward * inverse_depth
    aside = at[..., 0] / focal_x - right * inverse_depth
    height = (before - at[..., 1]) / focal_y - up * inverse_depth
    depth = turn.cos() * ahead - turn.sin() * aside
    aside = turn.sin() * ahead + turn.cos() * aside
    behind = depth < NEAREST
    depth = depth.clamp(min=NEAREST)
    to = torch.stack((focal_x * aside / depth, after - focal_y * height / depth), -1)
    return to.masked_fill(behind[..., None], OUTSIDE), inverse_depth / depth


def camera_moves(pose: Tensor) -> Tensor:
    """Whether the camera [..., POSE] moves enough that what stands still in the picture is held in hand: bool [...]."""
    return (pose[..., :3].norm(dim=-1) > 0.15) | (pose[..., 3].abs() > 0.03)


def look_up(maps: Tensor, at: Tensor, mode: str = "bilinear") -> Tensor:
    """Sample maps [B, C, H, W] at positions [B, h, w, 2] → [B, C, h, w]; beyond the border, the border."""
    size = at.new_tensor(maps.shape[:-3:-1])
    return F.grid_sample(maps, (at / size * 2).clamp(-2, 2), mode=mode, padding_mode="border", align_corners=False)


@torch.no_grad()
def sources(inverse_depth: Tensor, covered: Tensor, pose: Tensor) -> tuple[Tensor, Tensor]:
    """Where each pixel of the frames to come lies in the last frame: inverse_depth, covered (0 or 1) [B, 1, H, W], pose
    [B, F, POSE] → positions [B, F, H, W, 2], and whether there is such a place, bool [B, F, H, W].

    Points are splatted with a depth test, which settles who hides whom; the search then makes the place exact.
    """
    batch, frames = pose.shape[:2]
    rows, columns = inverse_depth.shape[-2:]
    maps = torch.cat((inverse_depth, covered), 1).float().repeat_interleave(frames, 0)
    pose = pose.float().flatten(0, 1)[:, None, None]
    still = grid(rows, columns, maps)

    def forward(at: Tensor, mode: str) -> tuple[Tensor, Tensor, Tensor]:
        near, cover = look_up(maps, at, mode).unbind(1)
        to, nearness = carry(at, near, pose, (rows, columns))
        held = (cover > 0.5)[..., None]
        return torch.where(held, at, to), torch.where(held[..., 0], OUTSIDE, nearness), near

    points = grid(rows, columns, maps, FINE).expand(batch * frames, -1, -1, -1)
    winner = _splat(*forward(points, "nearest")[:2], (rows, columns))
    for _ in range(FILL):
        around = -F.max_pool2d(-winner[:, None], 3, 1, 1)[:, 0]
        winner = torch.where(winner.isinf(), around, winner)
    known = ~winner.isinf()
    index = torch.where(known, winner, 0).remainder(points[0, ..., 0].numel()).long()
    found = points.flatten(1, 2).gather(1, index.flatten(1)[..., None].expand(-1, -1, 2)).unflatten(1, (rows, columns))
    wanted = still.expand_as(found)
    for _ in range(STEPS):
        to, nearness, before = forward(found, "bilinear")
        grown = (nearness / before.clamp(min=1e-6)).clamp(0.5, 8)
        grown = torch.where(nearness > OUTSIDE / 2, 1.0, torch.where(before < 1e-6, 1.0, grown))
        found = found + ((wanted - to) / grown[..., None]).clamp(-4, 4)
    missed = (forward(found, "bilinear")[0] - wanted).norm(dim=-1)
    inside = (found.abs() <= found.new_tensor([columns / 2, rows / 2])).all(-1)
    # Sampling reaches a pixel far: beside what covers the world, the world would take its colour.
    near_cover = look_up(F.max_pool2d(maps[:, 1:], 3, 1, 1), found)[:, 0]
    stays = (found - wanted).norm(dim=-1) < REACHED
    clean = (near_cover < 0.25) | stays
    found, valid = _close(found - wanted, known & inside & clean & (missed < REACHED))
    found = found + wanted
    return found.unflatten(0, (batch, frames)), valid.unflatten(0, (batch, frames))


def _close(shift: Tensor, valid: Tensor) -> tuple[Tensor, Tensor]:
    """Give single pixels and lines for which no source was found the mean shift of their neighbours; a pixel of an
    opening has too few of them. shift [B, H, W, 2], valid bool [B, H, W]."""
    weight = valid.float()[:, None]
    around = F.avg_pool2d(weight, 3, 1, 1) * 9
    mean = F.avg_pool2d(shift.movedim(-1, 1) * weight, 3, 1, 1) * 9 / around.clamp(min=1)
    single = ~valid & (around[:, 0] >= NEIGHBOURS)
    return torch.where(single[..., None], mean.movedim(1, -1), shift), valid | single


def _splat(to: Tensor, nearness: Tensor, size: tuple[int, int]) -> Tensor:
    """Per pixel the number of the nearest point that falls into it, under its depth: float64 [B, rows, columns], inf
    where none falls. Depth and number share one float, so that one order-free minimum settles both."""
    rows, columns = size
    to, nearness = to.flatten(1, 2), nearness.flatten(1)
    count = to.shape[1]
    column, row = (to[..., 0] + columns / 2).floor().long(), (to[..., 1] + rows / 2).floor().long()
    within = (column >= 0) & (column < columns) & (row >= 0) & (row < rows)
    far = (1 / nearness.double().clamp(1e-4, 1e3) * 1024).floor()
    keys = (far * count + torch.arange(count, device=to.device)).masked_fill(~within, torch.inf)
    cells = torch.where(within, row * columns + column, 0)
    out = torch.full((len(to), rows * columns), torch.inf, dtype=torch.float64, device=to.device)
    return out.scatter_reduce(1, cells, keys, "amin").unflatten(1, size)
