"""Motion-compensated history: how the last frame will move under the plan line, and where that can be trusted."""

from __future__ import annotations

from dataclasses import dataclass

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from tv2tv_core.model.config import MotionConfig
from tv2tv_core.model.geometry import POSE, grid, sources
from tv2tv_core.model.odometry import align, reverse
from tv2tv_core.model.stem import ResidualBlock, UNetStem, coordinates, groups

# What the reader is asked to name while it trains, so that its summary holds every part of an action:
# forward, strafe, run, turn/15, look/15, jump, crouch, fire, use, then one per weapon.
ACTION_FEATURES = 9 + 7
TILT = 20.0  # pixels: the unit in which the net gives the tilt
VALID = 2.0  # logit of trust that geometry alone gives
COVERED = -1.5  # logit from which on a pixel belongs to the weapon, whose bright edge must not move with the world
STILL = 0.25  # pixels below which a motion is none
PASTS = 4  # chunks whose plan is remembered: so long a change of weapon goes on
DETAIL_BACK = 0.12  # share of the fine detail returned to a pixel that moved: measured, see docs/experiments.md


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
    [-1, 1] and y in [-1, 1]; `trust` [B, F, 1, H, W]: logit that it can be trusted; `valid` bool [B, F, H, W]: whether the
    last frame shows it at all."""

    source: Tensor
    trust: Tensor
    valid: Tensor


@dataclass(frozen=True)
class Scene:
    """What the motion net makes of the last frame, and how the camera will move through it (see `geometry`).

    inverse_depth [B, 1, H, W] ≥ 0; covered [B, 1, H, W]: logit that the held weapon covers the world there; pose
    [B, F, POSE]: camera of each frame to come; done [B, 2, 4]: forward, right, up, turn to the last frame of the chunk that
    is over from its first and from its last but one, at first sight (before the pictures are aligned).
    """

    inverse_depth: Tensor
    covered: Tensor
    pose: Tensor
    done: Tensor


class MotionNet(nn.Module):
    """Predicts how the camera moves under the plan line and how deep the last frame is; the rest is geometry.

    A U-Net over the last frames at half resolution gives depth and what covers the world. Who runs, slides on, so the motion
    that is over is measured by aligning its frames; with the plan lines of this chunk and the last, and with what the net
    sees of the room (a wall stops), it gives the camera. A second, small network then judges each moved pixel.
    """

    def __init__(self, config: MotionConfig, frames: int, size: tuple[int, int]) -> None:
        super().__init__()
        self.frames, widths, plan = frames, config.widths, config.plan_width
        self.enter = nn.Conv2d(2 * 3 * 4 + 2, widths[0], 3, padding=1)
        steps = list(zip((widths[0], *widths[:-1]), widths, strict=True))
        self.down_blocks = nn.ModuleList(ResidualBlock(before, after, plan) for before, after in steps)
        above = (*widths[1:], widths[-1])
        self.up_blocks = nn.ModuleList(
            ResidualBlock(after + here, here, plan) for here, after in reversed(list(zip(widths, above, strict=True)))
        )
        self.norm = nn.GroupNorm(groups(widths[0]), widths[0])
        self.leave = nn.Conv2d(widths[0], 2 * 4, 3, padding=1)
        deep = widths[-1]
        for _ in widths:
            size = (-(-size[0] // 2), -(-size[1] // 2))
        self.room = nn.Sequential(nn.Linear(deep * size[0] * size[1], plan), nn.SiLU())
        self.done = nn.Linear(2 * plan, 1 + 2 * 4)
        self.camera = nn.Sequential(nn.Linear(3 * plan + 1 + 4 * 4, 2 * plan), nn.SiLU(), nn.Linear(2 * plan, plan), nn.SiLU(),
                                    nn.Linear(plan, frames * (POSE - 1)))
        self.judge = UNetStem((3 + 1 + 1) * frames + 3, frames, 4, config.judge_widths, config.judge_widths[-1], plan)
        self.begun = nn.Linear(PASTS * plan, plan, bias=False)
        for last in (self.leave, self.camera[-1], self.done):
            nn.init.zeros_(last.weight)
            nn.init.zeros_(last.bias)
        nn.init.zeros_(self.begun.weight)

    def see(self, chunk: Tensor, plan: Tensor, past: Tensor) -> Scene:
        """chunk [B, F, 3, H, W] in [-1, 1]: the frames of the chunk that is over; plan, past [B, plan]: summaries of the plan
        of the chunk to come and of that one."""
        hidden = F.pixel_unshuffle(torch.cat((chunk[:, -1], chunk[:, 0]), 1), 2)
        place = coordinates(*hidden.shape[-2:], hidden).expand(len(hidden), -1, -1, -1)
        hidden, skips = self.enter(torch.cat((hidden, place), 1)), []
        for level, block in enumerate(self.down_blocks):
            hidden = block(F.avg_pool2d(hidden, 2, ceil_mode=True) if level else hidden, past)
            skips.append(hidden)
        room = self.room(hidden.flatten(1))
        for level, block in enumerate(self.up_blocks):
            skip = skips[-1 - level]
            if level:
                hidden = F.interpolate(hidden, size=skip.shape[-2:])
            hidden = block(torch.cat((hidden, skip), 1), past)
        near, covered = F.pixel_shuffle(self.leave(F.silu(self.norm(hidden))), 2).float().chunk(2, 1)
        depth = F.softplus(near - 1)
        guess = self.done(torch.cat((room, past), -1))
        tilt, done = guess[:, :1].float() * TILT, guess[:, 1:].float().unflatten(1, (2, 4))
        measured = self._measure(chunk, depth, covered, tilt[:, 0], done)
        known = torch.cat((guess, measured.flatten(1).to(guess.dtype)), -1)
        camera = self.camera(torch.cat((plan, past, room, known), -1)).float().unflatten(1, (self.frames, POSE - 1))
        tilts = tilt[:, None].expand(-1, self.frames, -1)
        return Scene(depth, covered, torch.cat((camera[..., :4], tilts, tilts + camera[..., 4:] * TILT), -1), done)

    @staticmethod
    @torch.no_grad()
    def _measure(chunk: Tensor, depth: Tensor, covered: Tensor, tilt: Tensor, done: Tensor) -> Tensor:
        """`done` [B, 2, 4] after the frames have been aligned with the last one."""
        batch = len(chunk)
        guess = F.pad(reverse(done).transpose(0, 1).flatten(0, 1), (0, 1))
        last = chunk[:, -1].float().repeat(2, 1, 1, 1)
        others = torch.cat((chunk[:, 0], chunk[:, -2])).float()
        with torch.autocast(chunk.device.type, enabled=False):
            held = (covered > COVERED).float()
            found = align(last, others, depth.repeat(2, 1, 1, 1), held.repeat(2, 1, 1, 1), tilt.repeat(2), guess)
        return reverse(found).unflatten(0, (2, batch)).transpose(0, 1)

    def move(self, last: Tensor, scene: Scene, plan: Tensor, pasts: Tensor) -> tuple[Motion, Tensor]:
        """The motion of the chunk to come, and the last frame moved by it [B, F, 3, H, W]; gradients reach only the
        judge of trust. pasts [B, PASTS, plan]: summaries of the plans before, the latest first."""
        found, valid = sources(scene.inverse_depth, (scene.covered > COVERED).float(), scene.pose)
        rows, columns = last.shape[-2:]
        source = found / found.new_tensor([(columns - 1) / 2, (rows - 1) / 2])
        warped = warp(last, source)
        shift = (found - grid(rows, columns, found)).norm(dim=-1) / columns
        seen = torch.cat((warped.flatten(1, 2), valid.float(), shift, last.float()), 1).to(self.leave.weight.dtype)
        acts = plan + self.begun(pasts.flatten(1))
        skips = self.judge.down(seen, acts)[1]
        trust = self.judge.up(None, skips, acts).float() + VALID * (2 * valid.float() - 1)
        return Motion(source, trust[:, :, None], valid), warped


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
