"""Recorded episodes as training material: base-resolution frames in memory, motion on disk, lines beside them."""

from __future__ import annotations

import json
import os
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path

import cv2
import numpy as np
import torch
from torch import Tensor

from tv2tv_core.data.shards import Episode, load_split, windows
from tv2tv_core.data.true_motion import CAMERA
from tv2tv_core.errors import InputError
from tv2tv_core.model.geometry import MAP_UNITS, camera_moves
from tv2tv_core.plan import parse

LIST = "episodes.json"
WEAPON_TIME = 4  # chunks that a shot or a change of weapon, once begun, still shows
WALL = 0.01  # share of the picture that stands still though no weapon is held there


@dataclass(frozen=True)
class Footage:
    """Episodes one behind the other. `frames` uint8 [chunks, 4, 3, 48, 80]; `starts[e]` is episode e's first chunk."""

    episodes: list[Episode]
    frames: Tensor
    starts: np.ndarray
    lines: list[str]

    @staticmethod
    def load(root: Path, split: str, run_dir: Path | None = None, limit: int = 0) -> Footage:
        """Load a split. With `run_dir`, the list of episodes is pinned there at the first start, so that a resumed run
        sees the same samples although recording went on. Raises InputError when there is nothing."""
        episodes = load_split(root, split)
        if run_dir is not None:
            episodes = _pinned(episodes, run_dir / f"{split}-{LIST}")
        episodes = episodes[:limit] if limit else episodes
        if not episodes:
            raise InputError(f"no recorded episodes under {root / split}; run `python3 launch.py record` first")
        frames = torch.cat([shrink(episode.frames) for episode in episodes])
        counts = [len(episode) for episode in episodes]
        starts = np.concatenate(([0], np.cumsum(counts)[:-1]))
        lines = [line for episode in episodes for line in episode.lines]
        return Footage(episodes, frames, starts, lines)

    def windows(self, length: int) -> np.ndarray:
        """First chunks, counted over all episodes, of windows of `length` chunks that cross no cut.

        Raises InputError when there is none."""
        found = [self.starts[e] + first for e, first in windows(self.episodes, length)]
        if not found:
            raise InputError(f"the recordings hold no stretch of {length} chunks without a cut; record longer episodes")
        return np.array(found, dtype=np.int64)

    def latents(self, index: np.ndarray | Tensor) -> Tensor:
        """Base pixels in [-1, 1], float32 [..., 12, 48, 80], of chunks counted over all episodes."""
        index = torch.as_tensor(index)
        return self.frames[index].flatten(-4, -3).float().div(127.5).sub(1)

    def motion(self, index: np.ndarray) -> Tensor:
        """True motion float32 [B, 4, 3, 48, 80]: dx, dy in base pixels towards the source, and visibility.

        The recorder takes what is at depth 0 for the held weapon, and a wall in front of the nose is at depth 0 too: where
        the camera moves and much stands still that is no weapon, nothing that stands still counts as visible.
        """
        owner = np.searchsorted(self.starts, index, side="right") - 1
        found = [self.episodes[e].motion[i - self.starts[e]] for e, i in zip(owner, index, strict=True)]
        motion = torch.from_numpy(np.stack(found).astype(np.float32))
        still = (motion[:, :, :2] == 0).all(2) & (motion[:, :, 2] > 0)
        rows, columns = still.shape[-2:]
        elsewhere = torch.ones(rows, columns, dtype=torch.bool)
        elsewhere[int(rows * 0.4) :, int(columns * 0.2) : int(columns * 0.8)] = False  # where a weapon is held
        wall = (still & elsewhere).float().mean((-1, -2)) > WALL
        wrong = (wall & camera_moves(self.poses(index)))[..., None, None] & still
        motion[:, :, 2].masked_fill_(wrong, 0)
        return motion

    def poses(self, index: np.ndarray) -> Tensor:
        """Camera float32 [B, 4, POSE] of the frames of chunks `index`, seen from the last frame before each of them."""
        return torch.from_numpy(_relative(self._poses[index - 1, -1:], self._poses[index]))

    def done(self, index: np.ndarray) -> Tensor:
        """Forward, right, up, turn float32 [B, 2, 4] to the last frame of chunks `index` from their first and from their
        last but one."""
        own = self._poses[index]
        return torch.from_numpy(np.stack([_relative(own[:, at, None], own[:, -1:])[:, 0, :4] for at in (0, -2)], 1))

    @cached_property
    def known(self) -> np.ndarray:
        """How many chunks of the same scene there are up to each chunk, itself included."""
        begins = np.concatenate([episode.cuts for episode in self.episodes]).astype(bool)
        begins[self.starts] = True
        index = np.arange(len(begins))
        return index - np.maximum.accumulate(np.where(begins, index, 0)) + 1

    @cached_property
    def armed(self) -> np.ndarray:
        """Chunks, counted over all episodes, in which the held weapon acts: it is fired or changed, or was just before
        in the same scene."""
        acting = np.array([action.fire or action.weapon is not None for action in map(parse, self.lines)])
        goes_on = ~np.concatenate([episode.cuts for episode in self.episodes])[1:]
        for _ in range(1, WEAPON_TIME):
            acting[1:] |= acting[:-1] & goes_on
        return np.flatnonzero(acting)

    def choose(self, starts: np.ndarray, size: int, share: float, later: int, rng: np.random.Generator) -> np.ndarray:
        """`size` of the chunks `starts` at random; in `share` of them the weapon acts `later` chunks on.

        Shots and changes of weapon are rare and small in the picture: left to chance, they are never learnt."""
        chosen = rng.choice(starts, size)
        armed = starts[np.isin(starts + later, self.armed)]
        if len(armed):
            chosen = np.where(rng.random(size) < share, rng.choice(armed, size), chosen)
        return chosen

    @cached_property
    def _poses(self) -> np.ndarray:
        return np.concatenate([episode.poses for episode in self.episodes])

    def prompt(self, index: int) -> str:
        """The meta-prompt of the episode that holds a chunk."""
        return self.episodes[int(np.searchsorted(self.starts, index, side="right")) - 1].meta_prompt


def _relative(before: np.ndarray, after: np.ndarray) -> np.ndarray:
    """Camera [B, n, POSE] of map poses `after` [B, n, 5] as `geometry` describes it, seen from `before` [B, 1, 5]."""
    yaw = np.radians(before[..., 3])
    x, y, up = np.moveaxis(after[..., :3] - before[..., :3], -1, 0)
    turn = np.radians((after[..., 3] - before[..., 3] + 180) % 360 - 180)
    tilts = [CAMERA.focal_y * np.tan(np.radians(np.broadcast_to(pose[..., 4], turn.shape))) for pose in (before, after)]
    moves = [x * np.cos(yaw) + y * np.sin(yaw), x * np.sin(yaw) - y * np.cos(yaw), up]
    return np.stack([*(move / MAP_UNITS for move in moves), turn, *tilts], -1).astype(np.float32)


def shrink(frames: np.ndarray) -> Tensor:
    """uint8 [n, 4, 96, 160, 3] → uint8 [n, 4, 3, 48, 80] by area averaging."""
    rows, columns = frames.shape[2] // 2, frames.shape[3] // 2
    small = np.empty((*frames.shape[:2], rows, columns, 3), np.uint8)
    for chunk in range(len(frames)):
        for frame in range(frames.shape[1]):
            cv2.resize(frames[chunk, frame], (columns, rows), dst=small[chunk, frame], interpolation=cv2.INTER_AREA)
    return torch.from_numpy(small).permute(0, 1, 4, 2, 3).contiguous()


def _pinned(episodes: list[Episode], path: Path) -> list[Episode]:
    names = {episode.folder.name: episode for episode in episodes}
    if path.exists():
        wanted = json.loads(path.read_text())
        missing = [name for name in wanted if name not in names]
        if missing:
            raise InputError(f"episode {missing[0]} of this run is gone; put it back or start a new run folder")
        return [names[name] for name in wanted]
    path.parent.mkdir(parents=True, exist_ok=True)
    fresh = path.with_suffix(f".{os.getpid()}.tmp")
    fresh.write_text(json.dumps(sorted(names)))
    fresh.replace(path)
    return [names[name] for name in sorted(names)]
