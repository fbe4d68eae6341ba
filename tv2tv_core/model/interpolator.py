"""The masked interpolation network: frames that are missing between, before or after two known ones.

It sees a window of frames at an even rate with the missing ones zeroed, a mask, the skip between the known ones and the
frame rate. Optical flow between the two known frames (OpenCV DIS, computed by the caller) says where to look; the network
corrects where each missing frame's pixels come from, weighs the two sources, and paints what neither shows.

Shapes: B windows, T frames, H x W pixels (any; padded to multiples of 16 inside), RGB in [-1, 1].
"""

from __future__ import annotations

import math
from dataclasses import dataclass

import cv2
import numpy as np
import torch
from torch import Tensor, nn
from torch.nn import functional as F

from tv2tv_core.model.codec_blocks import PixelShuffleUp
from tv2tv_core.model.pseudo3d import PseudoAttention, PseudoBlock, PseudoConv

MULTIPLE = 16
FLOW_UNIT = 16.0  # pixels; flows enter the network in this unit
CORRECTION_UNIT = 2.0  # pixels; corrections of flow leave it in this one: a larger one makes the first steps of training wild
COLOUR_UNIT = 0.25
SMALL_WIDTH = 240  # pixels
FULL_FPS = 35.0
_INPUTS = 3 + 1 + 3 + 3 + 2 + 2 + 1 + 1 + 1


@dataclass(frozen=True)
class Window:
    """What is known. frames [B, T, 3, H, W] (missing ones are ignored); known: the two positions that are not missing;
    flow [B, 2, 2, H, W]: (dx, dy) in pixels from the first known frame to the second, and back; fps of the window."""

    frames: Tensor
    known: tuple[int, int]
    flow: Tensor
    fps: float


class Interpolator(nn.Module):
    """A small pseudo-3D U-Net around two warps."""

    def __init__(self, widths: tuple[int, int, int] = (32, 48, 64), temporal: bool = True) -> None:
        """`widths`: channels at 1/2, 1/4 and 1/8 of the size."""
        super().__init__()
        a, b, c = widths
        self.stem = PseudoConv(_INPUTS, a, 4, 2, temporal)
        self.fine = PseudoBlock(a, temporal)
        self.down = nn.ModuleList([nn.Conv2d(a, b, 4, 2, 1), nn.Conv2d(b, c, 4, 2, 1)])
        self.middle = nn.Sequential(PseudoBlock(b, temporal), PseudoBlock(b, temporal))
        self.deep = nn.Sequential(PseudoBlock(c, temporal), PseudoAttention(c, 4, temporal), PseudoBlock(c, temporal))
        self.up = nn.ModuleList([PixelShuffleUp(c, b), PixelShuffleUp(b, a)])
        self.merge = nn.ModuleList([PseudoBlock(b, temporal), PseudoBlock(a, temporal)])
        self.move = PixelShuffleUp(a, 5, kernel=3)  # two corrections of flow, one weight
        self.look = nn.Conv2d(a + 36, a, 3, padding=1)
        self.paint = nn.Sequential(PseudoBlock(a, temporal))
        self.colour = PixelShuffleUp(a, 3, kernel=3)
        for head in (self.move.conv, self.colour.conv):
            nn.init.zeros_(head.weight)
            nn.init.zeros_(head.bias)

    def forward(self, window: Window) -> tuple[Tensor, Tensor]:
        """(frames [B, T, 3, H, W] with the missing ones filled in and the known ones as they were, unclamped;
        what moving pixels alone gives, of that shape)."""
        height, width = window.frames.shape[-2:]
        window = _padded(window)
        first, second = (window.frames[:, k] for k in window.known)
        place = _places(window)
        to_first, to_second = _flows(window.flow, place)
        seen = _warped(first, to_first), _warped(second, to_second)
        features = self._features(_inputs(window, place, seen, (to_first, to_second)))
        moves = self.move(features)
        shape = window.frames.shape[:2]
        correction = (CORRECTION_UNIT * moves[:, :4]).unflatten(0, shape)
        # What people see is sampled bicubically: half a pixel of linear sampling is a blur.
        seen = tuple(_warped(frame, flow, "bicubic") for frame, flow in
                     ((first, to_first + correction[:, :, :2]), (second, to_second + correction[:, :, 2:])))
        # Without an opinion of the network the nearer frame in time counts more.
        prior = torch.logit(place.clamp(0.05, 0.95)).view(1, -1, 1, 1, 1)
        weight = torch.sigmoid(2 * moves[:, 4:].unflatten(0, shape) + prior.to(moves))
        moved = (1 - weight) * seen[0] + weight * seen[1]
        stacked = torch.cat([moved, *seen], dim=2).flatten(0, 1)
        looked = F.silu(self.look(torch.cat([features, F.pixel_unshuffle(stacked, 2)], dim=1)))
        colour = self.colour(self.paint(looked.unflatten(0, shape)).flatten(0, 1)).unflatten(0, shape)
        painted = moved + COLOUR_UNIT * colour
        return tuple(_restored(made, window)[..., :height, :width] for made in (painted, moved))

    def _features(self, inputs: Tensor) -> Tensor:
        """[B, T, inputs, H, W] → [B·T, width, H/2, W/2]."""
        shape = inputs.shape[:2]
        fine = self.fine(F.silu(self.stem(inputs)))
        middle = self.middle(F.silu(self.down[0](fine.flatten(0, 1))).unflatten(0, shape))
        deep = self.deep(F.silu(self.down[1](middle.flatten(0, 1))).unflatten(0, shape))
        middle = self.merge[0](middle + self.up[0](deep.flatten(0, 1)).unflatten(0, shape))
        fine = self.merge[1](fine + self.up[1](middle.flatten(0, 1)).unflatten(0, shape))
        return fine.flatten(0, 1)


def flow_between(first: np.ndarray, second: np.ndarray) -> np.ndarray:
    """Dense optical flow (DIS) of two uint8 RGB frames [H, W, 3]: float32 [2, H, W], (dx, dy) in pixels, first → second.

    Computed at three times the size (twice above SMALL_WIDTH): small frames have little for its patches to hold on to.
    """
    height, width = first.shape[:2]
    times = 3 if width <= SMALL_WIDTH else 2
    grey = [cv2.cvtColor(cv2.resize(f, (times * width, times * height), interpolation=cv2.INTER_CUBIC), cv2.COLOR_RGB2GRAY)
            for f in (first, second)]
    flow = _dis().calc(grey[0], grey[1], None)
    return (cv2.resize(flow, (width, height), interpolation=cv2.INTER_AREA) / times).transpose(2, 0, 1).astype(np.float32)


def both_flows(first: np.ndarray, second: np.ndarray) -> np.ndarray:
    """Flow there and back, float32 [2, 2, H, W]: what a `Window` wants."""
    return np.stack([flow_between(first, second), flow_between(second, first)])


def _dis() -> cv2.DISOpticalFlow:
    # Not kept: an object of OpenCV must not be shared by threads.
    found = cv2.DISOpticalFlow.create(cv2.DISOPTICAL_FLOW_PRESET_MEDIUM)
    found.setVariationalRefinementIterations(2)  # of 5: the same figures in three quarters of the time
    return found


def _places(window: Window) -> Tensor:
    """Where each frame lies in time: 0 at the first known frame, 1 at the second; float [T]."""
    first, second = window.known
    return (torch.arange(window.frames.shape[1], device=window.frames.device) - first) / (second - first)


def _flows(flow: Tensor, place: Tensor) -> tuple[Tensor, Tensor]:
    """Flow from every frame to the two known ones under even motion: [B, T, 2, H, W].

    Each comes from one of the two flows alone: mixing both where they disagree was measured to be worse than either.
    """
    there, back = flow[:, None, 0], flow[:, None, 1]
    s = place.view(1, -1, 1, 1, 1).to(flow)
    return s * back, (1 - s) * there


def _inputs(window: Window, place: Tensor, seen: tuple[Tensor, Tensor], flows: tuple[Tensor, Tensor]) -> Tensor:
    """All channels of the network's input, [B, T, _INPUTS, H, W]."""
    b, t, _, h, w = window.frames.shape
    mask = torch.zeros(t, device=place.device)
    mask[list(window.known)] = 1
    skip = window.known[1] - window.known[0]
    # Training saw no rate above the engine's own; small motion at 70 frames/s looks like small motion at 35.
    rate = math.log2(min(window.fps, FULL_FPS) / FULL_FPS)
    conditions = [mask, place, torch.full_like(place, math.log2(skip)), torch.full_like(place, rate)]
    planes = torch.stack(conditions, dim=1).view(1, t, 4, 1, 1).expand(b, t, 4, h, w).to(window.frames)
    return torch.cat([window.frames * planes[:, :, :1], planes, *seen, *(flow / FLOW_UNIT for flow in flows)], dim=2)


def _warped(frame: Tensor, flow: Tensor, mode: str = "bilinear") -> Tensor:
    """Frame [B, 3, H, W] as it looks from T moments: pixel p shows frame[p + flow[p]]; flow [B, T, 2, H, W]."""
    b, t, _, h, w = flow.shape
    rows, columns = torch.meshgrid(torch.arange(h, device=flow.device), torch.arange(w, device=flow.device), indexing="ij")
    x = (columns + flow[:, :, 0].float()) * (2 / (w - 1)) - 1
    y = (rows + flow[:, :, 1].float()) * (2 / (h - 1)) - 1
    source = frame.float()[:, None].expand(b, t, 3, h, w).flatten(0, 1)
    grid = torch.stack([x, y], dim=-1).flatten(0, 1)
    found = F.grid_sample(source, grid, mode=mode, padding_mode="border", align_corners=True)
    return found.unflatten(0, (b, t))


def _padded(window: Window) -> Window:
    height, width = window.frames.shape[-2:]
    extra = (0, -width % MULTIPLE, 0, -height % MULTIPLE)
    if not any(extra):
        return window
    frames, flow = (F.pad(x.flatten(0, 1), extra, mode="replicate").unflatten(0, x.shape[:2])
                    for x in (window.frames, window.flow))
    return Window(frames, window.known, flow, window.fps)


def _restored(made: Tensor, window: Window) -> Tensor:
    """`made` with the known frames put back."""
    frames = list(made.unbind(1))
    for k in window.known:
        frames[k] = window.frames[:, k].to(made)
    return torch.stack(frames, dim=1)
