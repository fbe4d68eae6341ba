"""The camera's geometry: the same as the recorder's, its own inverse, and right about who hides whom."""

from __future__ import annotations

import numpy as np
import pytest
import torch
from torch import Tensor

from tv2tv_core.data.true_motion import CAMERA, View, project
from tv2tv_core.model.geometry import MAP_UNITS, OUTSIDE, POSE, carry, grid, sources

SIZE = (48, 80)


def walls(seed: int = 0) -> Tensor:
    """A smooth inverse depth [1, 1, 48, 80] between 0.1 and 0.9."""
    rng = np.random.default_rng(seed)
    y, x = np.mgrid[:48, :80]
    wave = np.sin(x / 13 + rng.uniform(0, 6)) * np.cos(y / 11 + rng.uniform(0, 6))
    return torch.tensor(0.5 + 0.4 * wave, dtype=torch.float32)[None, None]


def pose(*parts: float) -> Tensor:
    return torch.tensor(parts + (0.0,) * (POSE - len(parts)))


def view(at: tuple[float, float, float, float, float], z: np.ndarray) -> View:
    nothing = np.zeros(SIZE, bool)
    return View(at, z.astype(np.float32), nothing, nothing, np.zeros((*SIZE, 3), np.float32))


def test_it_is_the_recorders_camera() -> None:
    """What the recorder projects from the later frame into the earlier one is what `carry` does with that pose."""
    depth = np.random.default_rng(1).uniform(40, 900, SIZE)
    here, there = (10.0, 20.0, 41.0, 30.0, 4.0), (34.0, -12.0, 47.0, 52.0, -6.0)
    u, v, z = project(view(here, depth), view(there, depth))
    yaw = np.radians(here[3])
    dx, dy = there[0] - here[0], there[1] - here[1]
    moved = pose((dx * np.cos(yaw) + dy * np.sin(yaw)) / MAP_UNITS, (dx * np.sin(yaw) - dy * np.cos(yaw)) / MAP_UNITS,
                 (there[2] - here[2]) / MAP_UNITS, np.radians(there[3] - here[3]),
                 CAMERA.focal_y * np.tan(np.radians(here[4])), CAMERA.focal_y * np.tan(np.radians(there[4])))
    inverse = torch.tensor(MAP_UNITS / depth, dtype=torch.float32)
    to, near = carry(grid(*SIZE, inverse), inverse, moved, SIZE)
    ahead = z > 0.06 * depth  # `carry` calls what comes nearer than that behind the camera
    np.testing.assert_allclose(to.numpy()[ahead] + [40, 24], np.stack([u, v], -1)[ahead], atol=2e-2, rtol=1e-3)
    np.testing.assert_allclose(near.numpy()[ahead], (MAP_UNITS / z)[ahead], rtol=1e-3)


def test_a_camera_at_rest_moves_nothing() -> None:
    found, valid = sources(walls(), torch.zeros(1, 1, *SIZE), pose()[None, None])
    assert valid.all()
    torch.testing.assert_close(found[0, 0], grid(*SIZE, found), atol=1e-4, rtol=0)


@pytest.mark.parametrize("moved", [(0.2, 0.0, 0.0), (-0.3, 0.1, 0.0), (0.0, 0.4, 0.05), (0.1, -0.1, 0.0, 0.2),
                                   (0.0, 0.0, 0.3, 0.0, 3.0, -5.0)])
def test_what_is_found_is_carried_to_where_it_was_sought(moved: tuple[float, ...]) -> None:
    depth, camera = walls(), pose(*moved)
    found, valid = sources(depth, torch.zeros_like(depth), camera[None, None])
    at = found[0, 0]
    near = torch.nn.functional.grid_sample(depth, (at / torch.tensor([40.0, 24.0]))[None], mode="bilinear", align_corners=False,
                                           padding_mode="border")[0, 0]
    to, _ = carry(at, near, camera, SIZE)
    missed = (to - grid(*SIZE, to)).norm(dim=-1)[valid[0, 0]]
    assert valid.float().mean() > 0.6 and missed.max() < 0.8 and missed.median() < 0.05


def test_the_near_hides_the_far() -> None:
    """A box before a wall: stepping aside shows the wall on one side of the box only, and the box is never seen through."""
    depth = torch.full((1, 1, *SIZE), 0.1)
    depth[..., 14:34, 30:50] = 1.0
    found, valid = sources(depth, torch.zeros_like(depth), pose(0.0, 0.25)[None, None])  # to the right: the box goes left
    column = found[0, 0, 24, :, 0] + 40
    shift = 80 * 5 / 12 * 0.25
    box = slice(int(30 - shift) + 1, int(50 - shift) - 1)
    torch.testing.assert_close(column[box], torch.arange(80)[box] + 0.5 + shift, atol=0.3, rtol=0)
    uncovered = slice(int(50 - shift) + 2, int(50 - shift * 0.1) - 1)  # where the box stood before the wall
    assert not valid[0, 0, 24, uncovered].any() and valid[0, 0, 24, box].all()


def test_what_covers_the_world_stays() -> None:
    covered = torch.zeros(1, 1, *SIZE)
    covered[..., 36:, 32:48] = 1
    found, valid = sources(walls(), covered, pose(0.3, 0.1, 0.0, 0.2)[None, None])
    inner = (slice(38, 48), slice(34, 46))
    torch.testing.assert_close(found[0, 0][inner], grid(*SIZE, found)[inner], atol=1e-4, rtol=0)
    assert valid[0, 0][inner].all()


def test_the_sky_turns_but_does_not_come_nearer() -> None:
    sky = torch.zeros(*SIZE)
    still, _ = carry(grid(*SIZE, sky), sky, pose(5.0, -3.0, 1.0), SIZE)
    torch.testing.assert_close(still, grid(*SIZE, sky), atol=1e-3, rtol=0)
    behind, _ = carry(grid(*SIZE, sky), sky + 1.0, pose(2.0), SIZE)
    assert (behind == OUTSIDE).all()
