"""Measuring a motion from two pictures: it is found again, and where pictures say nothing the guess stands."""

from __future__ import annotations

import numpy as np
import pytest
import torch

from tests.model.test_geometry import SIZE, walls
from tv2tv_core.model.geometry import carry, grid, look_up
from tv2tv_core.model.odometry import PARTS, align, reverse


def texture(seed: int = 0) -> torch.Tensor:
    """A smooth random picture [1, 3, 48, 80] in [-1, 1]."""
    rng = np.random.default_rng(seed)
    y, x = np.mgrid[:48, :80]
    waves = [np.sin(x / rng.uniform(4, 14) + y / rng.uniform(-14, 14) + rng.uniform(0, 6)) for _ in range(9)]
    return torch.tensor(np.stack(waves).reshape(3, 3, *SIZE).mean(0), dtype=torch.float32)[None]


def off(found: torch.Tensor, truth: torch.Tensor) -> float:
    """The error of a motion in pixels, roughly."""
    return float(((found - truth).abs() * torch.tensor([10.0, 10.0, 10.0, 33.0, 1.0])).sum())


@pytest.mark.parametrize("moved", [(0.0,) * 5, (-0.5, 0.2, 0.0, 0.0, 0.0), (0.3, 0.0, 0.0, 0.1, 0.0),
                                   (0.0, 0.0, 0.2, -0.15, 3.0)])
def test_a_motion_is_found_again(moved: tuple[float, ...]) -> None:
    depth, other, tilt = walls(), texture(), torch.tensor([2.0])
    pose = torch.tensor([*moved[:4], 2.0, 2.0 + moved[4]])
    to, _ = carry(grid(*SIZE, depth), depth[:, 0], pose, SIZE)
    last = look_up(other, to)
    truth = torch.tensor([moved])
    guess = truth + torch.tensor([0.15, -0.1, 0.0, 0.05, 0.0])
    found = align(last, other, depth, torch.zeros_like(depth), tilt, guess)
    assert off(found, truth) < 0.35 * off(guess, truth)
    covered = torch.zeros_like(depth)
    covered[..., 30:, 30:50] = 1
    spoilt = torch.where(covered > 0, 1.0, last)  # a weapon in front changes little
    again = align(spoilt, other, depth, covered, tilt, guess)
    assert off(again, truth) < 0.5 * off(guess, truth)


def test_where_pictures_say_nothing_the_guess_stands() -> None:
    grey, guess = torch.zeros(2, 3, *SIZE), torch.tensor([[0.3, 0.1, 0.0, 0.2, 1.0], [0.0] * 5])
    depth = walls().repeat(2, 1, 1, 1)
    torch.testing.assert_close(align(grey, grey, depth, torch.zeros_like(depth), torch.zeros(2), guess), guess, atol=1e-3,
                               rtol=0)


def test_samples_of_a_batch_do_not_touch_each_other() -> None:
    depth, one, two = walls(), texture(1), texture(2)
    blank = torch.zeros_like(depth)
    alone = align(one, two, depth, blank, torch.zeros(1), torch.zeros(1, PARTS))
    both = align(torch.cat((one, two)), torch.cat((two, one)), depth.repeat(2, 1, 1, 1), blank.repeat(2, 1, 1, 1),
                 torch.zeros(2), torch.zeros(2, PARTS))
    torch.testing.assert_close(both[:1], alone, atol=1e-4, rtol=1e-4)


def test_a_motion_turned_round_twice_is_itself() -> None:
    parts = torch.tensor([[0.4, -0.2, 0.1, 0.3], [0.0, 0.0, 0.0, -1.0]])
    torch.testing.assert_close(reverse(reverse(parts)), parts)
    # Forward by one after a quarter turn to the left is, from there, one to the left of where it began: it lies behind.
    quarter = reverse(torch.tensor([0.0, -1.0, 0.0, torch.pi / 2]))
    torch.testing.assert_close(quarter, torch.tensor([-1.0, 0.0, 0.0, -torch.pi / 2]), atol=1e-6, rtol=0)
