"""Earlier views: what an earlier frame showed and the last one does not is copied from there, so that who turns away and
back finds the same room."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass

import torch
import torch.nn.functional as F
from torch import Tensor

from tv2tv_core.model.geometry import look_up, sources
from tv2tv_core.model.motion import COVERED, Motion, Scene, warp
from tv2tv_core.model.reference import displaced

RECALLED = 0.95  # trust in what was seen before: the rest of the mixture hides its seams
OPEN = 0.5  # trust below which a pixel that the last frame does not show is looked for in earlier ones
WORTH = 0.01  # share of the picture below which the search is not worth its time
FILLS = 2  # views that are copied from
COARSE = 4  # the views are compared at this fraction of the resolution


@dataclass(frozen=True)
class View:
    """The last frame of a chunk, [1, 3, H, W] in [-1, 1], the scene whose pose leads through the chunk after it, and, where it
    is wanted, what gives back what decoding lost of that frame, [1, 3, n·H, n·W]: few views are ever copied from."""

    frame: Tensor
    scene: Scene
    detail: Callable[[], Tensor] | None = None


def walk(place: Tensor, pose: Tensor) -> Tensor:
    """Where the camera stands: place [..., 4] (ahead, right, up and turn to the left, from anywhere) and steps from there,
    pose [..., F, POSE] as in `geometry`, → places [..., F, 4] in the same axes."""
    ahead, right, up, turn = place[..., None, :].unbind(-1)
    forward, aside, rise, turned = pose[..., :4].unbind(-1)
    return torch.stack((
        ahead + forward * turn.cos() + aside * turn.sin(), right - forward * turn.sin() + aside * turn.cos(),
        up + rise, turn + turned,
    ), -1)


def between(place: Tensor, tilt: Tensor, places: Tensor, tilts: Tensor) -> Tensor:
    """The pose [..., F, POSE] that leads from a camera at place [..., 4] with tilt [...] to those at places [..., F, 4] with
    tilts [..., F]; undoes `walk`."""
    ahead, right, up, turned = (places - place[..., None, :]).unbind(-1)
    turn = place[..., None, 3]
    return torch.stack((
        ahead * turn.cos() - right * turn.sin(), ahead * turn.sin() + right * turn.cos(), up, turned,
        tilt[..., None].expand_as(tilts), tilts,
    ), -1)


def recall(warped: Tensor, trust: Tensor, motion: Motion, scene: Scene, earlier: Sequence[View],
           detail: Tensor | None = None) -> tuple[Tensor, Tensor, Tensor | None]:
    """warped [1, F, 3, H, W] and trust [1, F, H, W] with what earlier views (the oldest first, each a chunk before the next)
    show of that which the last frame, of `scene`, does not; and so `detail` [1, F, 3, n·H, n·W] of the same pictures."""
    opening = ~motion.valid & (trust < OPEN)
    if not earlier or opening.float().mean() < WORTH:
        return warped, trust, detail
    place = warped.new_zeros(1, 4, dtype=torch.float32)
    stood = []
    for view in earlier:
        stood.append(place)
        place = walk(place, view.scene.pose.float())[:, -1]
    pose = scene.pose.float()
    places, tilts = walk(place, pose), pose[..., 5]
    ways = [between(at, view.scene.pose[:, 0, 4].float(), places, tilts) for at, view in zip(stood, earlier, strict=True)]
    shows = _shows(earlier, ways)
    for _ in range(FILLS):
        shares = (shows * F.avg_pool2d(opening[:, -1:].float(), COARSE)).mean((1, 2, 3))
        best = int(shares.argmax())
        if shares[best] < WORTH:
            break
        source, seen = _through(earlier[best], ways[best])
        seen = seen & opening
        warped = torch.where(seen[:, :, None], warp(earlier[best].frame, source).to(warped.dtype), warped)
        trust = torch.where(seen, trust.new_tensor(RECALLED), trust)
        if detail is not None:
            fine = detail.shape[-1] // warped.shape[-1]
            where = seen.repeat_interleave(fine, 2).repeat_interleave(fine, 3)[:, :, None]
            detail = torch.where(where, displaced(earlier[best].detail(), source), detail)
        opening = opening & ~seen
    return warped, trust, detail


def _shows(views: Sequence[View], ways: Sequence[Tensor]) -> Tensor:
    """Which parts of the last frame to come each view shows: bool [views, 1, H / COARSE, W / COARSE]."""
    depth, covered = (F.avg_pool2d(torch.cat([getattr(view.scene, name) for view in views]).float(), COARSE)
                      for name in ("inverse_depth", "covered"))
    way = torch.cat([way[:, -1:] for way in ways])
    return _sources(depth, covered, torch.cat((way[..., :4], way[..., 4:] / COARSE), -1))[1]


def _through(view: View, way: Tensor) -> tuple[Tensor, Tensor]:
    """Where a view's frame shows what is seen from other places, as `Motion.source`, and where it does, bool [1, F, H, W]."""
    found, seen = _sources(view.scene.inverse_depth.float(), view.scene.covered.float(), way)
    rows, columns = view.frame.shape[-2:]
    return found / found.new_tensor([(columns - 1) / 2, (rows - 1) / 2]), seen


def _sources(inverse_depth: Tensor, covered: Tensor, way: Tensor) -> tuple[Tensor, Tensor]:
    """As `geometry.sources`; what is held in hand was held then, and shows nothing now."""
    found, seen = sources(inverse_depth, torch.zeros_like(covered), way)
    held = F.max_pool2d((covered > COVERED).float(), 3, 1, 1).repeat_interleave(way.shape[1], 0)
    return found, seen & (look_up(held, found.flatten(0, 1))[:, 0].unflatten(0, way.shape[:2]) < 0.25)
