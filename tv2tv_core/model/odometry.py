"""How the camera moved between two frames that are both known: direct image alignment over the depth of one of them."""

from __future__ import annotations

import torch
import torch.nn.functional as F
from torch import Tensor

from tv2tv_core.model.geometry import carry, grid, look_up

PARTS = 5  # forward, right, up, turn, change of tilt
SPREAD = (0.4, 0.3, 0.1, 0.1, 3.0)  # how far from the guess a motion usually is
PRIOR = 6e-3  # weight of the guess against the mean squared difference of colours (frames in [-1, 1])
OUTLIER = 0.2  # difference of colours from which on a pixel counts less and less
NUDGE = 1e-3  # for derivatives of positions
SCALES = (2,)  # how much smaller the pictures are that are compared, one search after the other
ROUNDS = 6


@torch.no_grad()
def align(last: Tensor, other: Tensor, inverse_depth: Tensor, covered: Tensor, tilt: Tensor, guess: Tensor) -> Tensor:
    """The camera [B, PARTS] at `other` seen from `last`, both [B, 3, H, W] in [-1, 1].

    inverse_depth, covered (0 or 1) [B, 1, H, W] and tilt [B] belong to `last`, as `geometry` has them; guess [B, PARTS] is
    where the search starts, and where it stays when the pictures say nothing.
    """
    found = guess.float()
    for scale in SCALES:
        def shrink(x: Tensor, scale: int = scale) -> Tensor:
            return F.avg_pool2d(x.float(), scale)

        seen = (shrink(covered) < 0.25).float()
        search = _Search(shrink(last), shrink(other), shrink(inverse_depth), seen, tilt.float(), scale, guess.float())
        found = search.run(found)
    return found


class _Search:
    """Levenberg-Marquardt at one scale of the picture."""

    def __init__(self, last: Tensor, other: Tensor, inverse_depth: Tensor, seen: Tensor, tilt: Tensor, scale: int,
                 guess: Tensor) -> None:
        self.last, self.inverse_depth, self.seen = last, inverse_depth[:, 0], seen
        self.tilt, self.scale, self.guess = tilt, scale, guess
        self.size = last.shape[-2:]
        self.at = grid(*self.size, last)
        right = F.pad(other[..., 2:] - other[..., :-2], (1, 1, 0, 0), mode="replicate") / 2
        down = F.pad(other[..., 2:, :] - other[..., :-2, :], (0, 0, 1, 1), mode="replicate") / 2
        self.maps = torch.cat((other, right, down), 1)

    def run(self, found: Tensor) -> Tensor:
        damping = torch.full((len(found), 1), 1e-2, device=found.device)
        normal, slope, cost = self._system(found)
        for _ in range(ROUNDS):
            damped = normal + torch.diag_embed(damping * normal.diagonal(dim1=1, dim2=2) + 1e-9)
            tried = found - torch.linalg.solve(damped, slope[..., None])[..., 0].to(found)
            others = self._system(tried)
            better = others[2] < cost
            found = torch.where(better[:, None], tried, found)
            normal = torch.where(better[:, None, None], others[0], normal)
            slope, cost = torch.where(better[:, None], others[1], slope), torch.where(better, others[2], cost)
            damping = torch.where(better[:, None], damping / 3, damping * 10)
        return found

    def _land(self, parts: Tensor) -> Tensor:
        """Where the pixels go, [B, N, h, w, 2], under each of parts [B, N, PARTS]."""
        tilt = (self.tilt / self.scale)[:, None, None]
        pose = torch.cat((parts[..., :4], tilt.expand_as(parts[..., :1]), tilt + parts[..., 4:] / self.scale), -1)
        return carry(self.at, self.inverse_depth[:, None], pose[:, :, None, None], self.size)[0]

    def _system(self, parts: Tensor) -> tuple[Tensor, Tensor, Tensor]:
        """Normal matrix [B, PARTS, PARTS], slope [B, PARTS] and cost [B] of the weighted differences at `parts`."""
        nudges = NUDGE * torch.eye(PARTS + 1, PARTS, device=parts.device).roll(1, 0)  # the first is none
        to, nudged = self._land(parts[:, None] + nudges).split((1, PARTS), 1)
        moved = ((nudged - to) / NUDGE).clamp(-1e3, 1e3)  # [B, PARTS, h, w, 2]
        to = to[:, 0]
        half = to.new_tensor([self.size[1] / 2, self.size[0] / 2])
        inside = (to.abs() < half).all(-1)[:, None].float() * self.seen
        other, right, down = look_up(self.maps, to).chunk(3, 1)
        off = other - self.last
        weight = inside / (1 + (off.square().mean(1, keepdim=True) / OUTLIER**2))
        total = inside.sum((1, 2, 3)).clamp(min=1.0)
        change = right[:, None] * moved[..., None, :, :, 0] + down[:, None] * moved[..., None, :, :, 1]
        change = (change * weight[:, None].sqrt()).flatten(2).double()
        rest = (off * weight.sqrt()).flatten(1).double()
        prior = PRIOR / to.new_tensor(SPREAD).double().square()
        away = (parts - self.guess).double()
        normal = change @ change.transpose(1, 2) / total[:, None, None].double() + torch.diag(prior)
        slope = (change @ rest[..., None])[..., 0] / total[:, None].double() + prior * away
        robust = (OUTLIER**2 * torch.log1p(off.square().mean(1, keepdim=True) / OUTLIER**2) * inside).sum((1, 2, 3))
        # A motion that looks past the picture must not win by having nothing left to compare.
        hidden = 1 - total / self.seen.sum((1, 2, 3)).clamp(min=1.0)
        cost = (robust / total * 3 + 0.02 * hidden).double() + (prior * away.square()).sum(1)
        return normal, slope, cost


def reverse(parts: Tensor) -> Tensor:
    """The same motion seen from its other end: parts [..., 4 or more] (forward, right, up, turn) → [..., 4]."""
    forward, right, up, turn = parts[..., :4].unbind(-1)
    return torch.stack((-(forward * turn.cos() - right * turn.sin()), -(forward * turn.sin() + right * turn.cos()),
                        -up, -turn), -1)
