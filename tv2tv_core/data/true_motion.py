"""True motion of static pixels between frames, from the engine's depth buffer and camera pose.

The camera model was measured, not assumed: ViZDoom's software renderer is a pinhole with a horizontal focal length of
half the width, it looks up and down by shifting the picture (y-shearing), and its 8-bit depth grows linearly with the
distance along the view axis. The held weapon has depth 0.
"""
from dataclasses import dataclass

import cv2
import numpy as np

from tv2tv_core.data.arena import FRAMES_PER_CHUNK, Snapshot

GRID = (80, 48)              # W, H of the motion field
BLOCK = 8                    # rendered pixels per motion pixel
FAR = 1600.0                 # map units; nothing is told apart beyond
SAME_COLOUR = 36.0           # mean difference in grey levels


@dataclass(frozen=True)
class Camera:
    """focal_x, focal_y in motion pixels; depth_unit: map units per step of the depth buffer; sky: depth without end."""
    focal_x: float = 100 / 3
    focal_y: float = 40.0
    depth_unit: float = 7.65
    sky: int = 250
    centre_x: float = 40.0
    centre_y: float = 24.0


CAMERA = Camera()


@dataclass(frozen=True)
class View:
    """A snapshot reduced to the motion grid: z distance (units), weapon and moving masks [48,80], colours [48,80,3]."""
    pose: tuple[float, float, float, float, float]
    z: np.ndarray
    weapon: np.ndarray
    moving: np.ndarray
    colours: np.ndarray


def view(snapshot: Snapshot, camera: Camera = CAMERA) -> View:
    """Reduce a full snapshot (depth and moving present) to the motion grid."""
    columns, rows = GRID
    blocks = snapshot.depth.reshape(rows, BLOCK, columns, BLOCK).transpose(0, 2, 1, 3).reshape(rows, columns, -1)
    centre = blocks[:, :, BLOCK * BLOCK // 2 + BLOCK // 2, None].astype(np.int16)
    near = (np.abs(blocks - centre) <= 2) & (blocks > 0)
    # The mean over a block gives back some of what 8 bits lost.
    mean = (blocks * near).sum(-1) / np.maximum(near.sum(-1), 1)
    z = np.where(mean >= camera.sky, 1e6, (mean + 1) * camera.depth_unit).astype(np.float32)
    moving = snapshot.moving.reshape(rows, BLOCK, columns, BLOCK).any((1, 3))
    colours = cv2.resize(snapshot.frame, GRID, interpolation=cv2.INTER_AREA).astype(np.float32)
    return View(snapshot.pose, z, centre[..., 0] == 0, moving, colours)


def _basis(yaw: float) -> tuple[np.ndarray, np.ndarray]:
    angle = np.radians(yaw)
    return np.array([np.cos(angle), np.sin(angle)]), np.array([np.sin(angle), -np.cos(angle)])


def project(target: View, source: View, camera: Camera = CAMERA) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """Where the static points seen in `target` lie in `source`: u, v (motion pixels) and z, each float32 [48,80]."""
    u, v = np.meshgrid(np.arange(GRID[0]) + 0.5, np.arange(GRID[1]) + 0.5)
    tilt = camera.focal_y * np.tan(np.radians(target.pose[4]))
    forward, right = _basis(target.pose[3])
    aside = (u - camera.centre_x) / camera.focal_x * target.z
    height = -(v - camera.centre_y - tilt) / camera.focal_y * target.z
    x = target.z * forward[0] + aside * right[0] + target.pose[0] - source.pose[0]
    y = target.z * forward[1] + aside * right[1] + target.pose[1] - source.pose[1]
    up = height + target.pose[2] - source.pose[2]
    forward, right = _basis(source.pose[3])
    z = x * forward[0] + y * forward[1]
    safe = np.maximum(z, 1.0)
    tilt = camera.focal_y * np.tan(np.radians(source.pose[4]))
    source_u = camera.centre_x + camera.focal_x * (x * right[0] + y * right[1]) / safe
    source_v = camera.centre_y + tilt - camera.focal_y * up / safe
    return source_u.astype(np.float32), source_v.astype(np.float32), z.astype(np.float32)


def warp(image: np.ndarray, u: np.ndarray, v: np.ndarray) -> np.ndarray:
    """Sample `image` [48,80,C] bilinearly at (u, v) [48,80] in pixels; the centre of the first pixel is 0.5."""
    return cv2.remap(image, u - 0.5, v - 0.5, cv2.INTER_LINEAR, borderMode=cv2.BORDER_REPLICATE)


def motion(target: View, source: View, camera: Camera = CAMERA) -> np.ndarray:
    """float32 [3,48,80]: (dx, dy) from each target pixel to the same static point in `source`, and visible 1/0.

    Visible means: inside the source picture, not hidden there, part of the static world or of the resting weapon, and
    of about the same colour (an explosion or an opening door is not explained by the camera's motion).
    """
    u, v, z = project(target, source, camera)
    columns, rows = GRID
    seen = (z > 4) & (u > 0) & (u < columns) & (v > 0) & (v < rows)
    column, row = np.clip(u, 0, columns - 1).astype(int), np.clip(v, 0, rows - 1).astype(int)
    there = source.z[row, column]
    far = np.minimum(z, FAR)
    seen &= np.abs(np.minimum(there, FAR) - far) < 1.5 * camera.depth_unit + 0.1 * far
    seen &= ~source.weapon[row, column] & ~source.moving[row, column]
    weapon = target.weapon
    u0, v0 = np.meshgrid(np.arange(columns, dtype=np.float32) + 0.5, np.arange(rows, dtype=np.float32) + 0.5)
    u, v = np.where(weapon, u0, u), np.where(weapon, v0, v)
    seen = np.where(weapon, source.weapon, seen) & ~target.moving
    off = cv2.blur(np.abs(warp(source.colours, u, v) - target.colours).mean(-1), (3, 3))
    seen &= off < SAME_COLOUR
    shift = np.stack([np.clip(u - u0, -columns, columns), np.clip(v - v0, -rows, rows)])
    return np.concatenate([shift, seen[None].astype(np.float32)])


def chunk_motion(snapshots: list[Snapshot], source: View | None) -> tuple[np.ndarray, View]:
    """(float16 [4,3,48,80] towards `source`, zeros where there is none; the view of the chunk's last frame)."""
    views = [view(snapshot) for snapshot in snapshots]
    field = np.zeros((FRAMES_PER_CHUNK, 3, GRID[1], GRID[0]), np.float16)
    if source is not None:
        for k, target in enumerate(views):
            field[k] = motion(target, source)
    return field, views[-1]
