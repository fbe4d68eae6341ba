"""Motion-compensated history: how the last frame will move under the plan line, and where that can be trusted."""

from __future__ import annotations

from dataclasses import dataclass

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from tv2tv_core.model.config import MotionConfig
from tv2tv_core.model.stem import ResidualBlock, coordinates, groups

# What the reader is asked to name while it trains, so that its summary holds every part of an action:
# forward, strafe, run, turn/15, look/15, jump, crouch, fire, use, then one per weapon.
ACTION_FEATURES = 9 + 7
FLOW_SCALE = 0.5  # the local residual's unit, in half image widths
STILL = 0.25  # pixels below which a motion is none
DETAIL_BACK = 0.12  # share of the fine detail returned to a pixel that moved: measured, see docs/experiments.md
MIN_DEPTH = 0.2  # bound on the projective denominator: what lies beyond is far outside the view


class PlanReader(nn.Module):
    """Reads one plan line: attention pooling over text-tower states into a vector.

    The line is read by itself, so an instruction means the same wherever it stands.
    """

    def __init__(self, text_width: int, config: MotionConfig) -> None:
        super().__init__()
        inner = config.plan_width // config.queries
        self.norm = nn.LayerNorm(text_width)
        self.score = nn.Linear(text_width, config.queries)
        self.value = nn.Linear(text_width, config.queries * inner)
        self.mix = nn.Sequential(nn.Linear(config.plan_width, 2 * config.plan_width), nn.SiLU(),
                                 nn.Linear(2 * config.plan_width, config.plan_width))
        self.name_action = nn.Linear(config.plan_width, ACTION_FEATURES)
        self.unknown = nn.Parameter(torch.zeros(config.plan_width))

    def forward(self, states: Tensor, valid: Tensor) -> Tensor:
        """states [B, T, text_width], valid [B, T] bool → summary [B, plan_width]; no valid token = no plan known."""
        # In full precision: language-model states have a few huge coordinates, beside which bfloat16 rounds the words away.
        with torch.autocast(states.device.type, enabled=False):
            normed = self.norm(states.float())
            scores = self.score(normed).masked_fill(~valid[..., None], -1e4).softmax(1)
            values = self.value(normed).unflatten(-1, (scores.shape[-1], -1))
            pooled = (scores[..., None] * values).sum(1).flatten(1)
            known = valid.any(1, keepdim=True)
            return torch.where(known, self.mix(pooled), self.unknown.expand(len(states), -1))


@dataclass(frozen=True)
class Motion:
    """Predicted motion of one chunk. `source` [B, F, H, W, 2]: where in the last frame each pixel comes from, x in
    [-1, 1] and y in [-1, 1]; `trust` [B, F, 1, H, W]: logit that it can be trusted."""

    source: Tensor
    trust: Tensor


class MotionNet(nn.Module):
    """Predicts, per frame of the next chunk, a global projective motion of the last frame plus a local residual.

    The projective part (camera turning is one exactly) comes from the plan summary and pooled features; the residual
    (parallax, the held weapon) from a U-Net over the last frames at half resolution.
    """

    def __init__(self, config: MotionConfig, frames: int) -> None:
        super().__init__()
        self.frames, widths, plan = frames, config.widths, config.plan_width
        self.momentum = nn.Linear(plan, plan, bias=False)
        nn.init.zeros_(self.momentum.weight)
        self.enter = nn.Conv2d(2 * 3 * 4 + 2, widths[0], 3, padding=1)
        steps = list(zip((widths[0], *widths[:-1]), widths, strict=True))
        self.down_blocks = nn.ModuleList(ResidualBlock(before, after, plan) for before, after in steps)
        above = (*widths[1:], widths[-1])
        self.up_blocks = nn.ModuleList(
            ResidualBlock(after + here, here, plan) for here, after in reversed(list(zip(widths, above, strict=True)))
        )
        self.norm = nn.GroupNorm(groups(widths[0]), widths[0])
        self.leave = nn.Conv2d(widths[0], frames * 3 * 4, 3, padding=1)
        self.globally = nn.Sequential(nn.Linear(plan + widths[-1], plan), nn.SiLU(), nn.Linear(plan, frames * 8))
        for last in (self.leave, self.globally[-1]):
            nn.init.zeros_(last.weight)
            nn.init.zeros_(last.bias)

    def forward(self, last: Tensor, before: Tensor, plan: Tensor, past: Tensor) -> Motion:
        """last, before [B, 3, H, W] in [-1, 1]: the last frame and one from earlier in its chunk; plan, past [B, plan]:
        summaries of the plan of the chunk to come and of the one just done (who ran, slides on)."""
        plan = plan + self.momentum(past)
        hidden = F.pixel_unshuffle(torch.cat((last, before), 1), 2)
        place = coordinates(*hidden.shape[-2:], hidden).expand(len(hidden), -1, -1, -1)
        hidden, skips = self.enter(torch.cat((hidden, place), 1)), []
        for level, block in enumerate(self.down_blocks):
            hidden = block(F.avg_pool2d(hidden, 2, ceil_mode=True) if level else hidden, plan)
            skips.append(hidden)
        pooled = hidden.mean((2, 3))
        for level, block in enumerate(self.up_blocks):
            skip = skips[-1 - level]
            if level:
                hidden = F.interpolate(hidden, size=skip.shape[-2:])
            hidden = block(torch.cat((hidden, skip), 1), plan)
        local = F.pixel_shuffle(self.leave(F.silu(self.norm(hidden))), 2).float()
        local = local.unflatten(1, (self.frames, 3))
        parameters = self.globally(torch.cat((plan, pooled.to(plan.dtype)), -1)).float().unflatten(-1, (self.frames, 8))
        source = project(parameters, *last.shape[-2:]) + local[:, :, :2].permute(0, 1, 3, 4, 2) * FLOW_SCALE
        aspect = last.shape[-1] / last.shape[-2]
        return Motion(source * source.new_tensor([1.0, aspect]), local[:, :, 2:])


def project(parameters: Tensor, rows: int, columns: int) -> Tensor:
    """Projective source coordinates [..., rows, columns, 2] (x in [-1, 1], y in ±rows/columns when nothing moves) for
    parameters [..., 8]: the homography minus the identity, its last entry fixed to 1."""
    grid = coordinates(rows, columns, parameters)[0].permute(1, 2, 0)
    points = torch.cat((grid, torch.ones_like(grid[..., :1])), -1)
    identity = parameters.new_tensor([1, 0, 0, 0, 1, 0, 0, 0, 1])
    matrix = F.pad(parameters, (0, 1)) + identity
    with torch.autocast(parameters.device.type, enabled=False):  # bfloat16 would round positions to a third of a pixel
        moved = torch.einsum("...ij,hwj->...hwi", matrix.unflatten(-1, (3, 3)), points)
    return moved[..., :2] / moved[..., 2:].clamp(min=MIN_DEPTH)


def warp(last: Tensor, source: Tensor) -> Tensor:
    """Sample last [B, 3, H, W] at source [B, F, H, W, 2] → [B, F, 3, H, W].

    Bicubic, and a part of the fine detail that moving by fractions of a pixel costs is given back: a clip moves its
    history dozens of times. Motion below a quarter of a pixel is taken for none, so that what stands stays as it is.
    """
    rows, columns = last.shape[-2:]
    last = last.float()
    detail = last - F.avg_pool2d(F.pad(last, (1, 1, 1, 1), mode="replicate"), 3, 1)
    still = coordinates(rows, columns, source)[0].permute(1, 2, 0) * source.new_tensor([1.0, columns / rows])
    pixels = ((source - still) * source.new_tensor([columns / 2, rows / 2])).norm(dim=-1, keepdim=True)
    source = torch.where(pixels < STILL, still, source)
    moved = (pixels - STILL).clamp(0, 1).movedim(-1, 2)
    both = torch.cat((last, detail), 1).repeat_interleave(source.shape[1], 0)
    out = F.grid_sample(both, source.flatten(0, 1).clamp(-2, 2), mode="bicubic", padding_mode="border", align_corners=True)
    image, fine = out.unflatten(0, (-1, source.shape[1])).chunk(2, 2)
    return (image + DETAIL_BACK * moved * fine).clamp(-1, 1)
