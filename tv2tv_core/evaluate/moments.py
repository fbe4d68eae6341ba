"""Held-out moments, the actions that are inserted there, and what each would really have led to (kept on disk)."""

from __future__ import annotations

import hashlib
import json
import os
import zipfile
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Protocol

import numpy as np
import vizdoom

from tv2tv_core.data.arena import Arena
from tv2tv_core.data.futures import true_future
from tv2tv_core.data.recording import Recording
from tv2tv_core.data.shards import Episode
from tv2tv_core.errors import StorageError
from tv2tv_core.media.atomic import atomic_file
from tv2tv_core.plan import WEAPONS, parse

SWITCH = "switch weapon"
STAND = "stand"
ACTIONS: dict[str, str] = {
    "forward": "run forward",
    "back": "run back",
    "strafe left": "run strafe left",
    "strafe right": "run strafe right",
    "turn left 15": "stand, turn left 15",
    "turn right 15": "stand, turn right 15",
    "turn left 45": "stand, turn left 45",
    "turn right 45": "stand, turn right 45",
    "jump": "stand, jump",
    "crouch": "stand, crouch",
    "look up": "stand, look up 15",
    "fire": "stand, fire",
    SWITCH: "stand, switch to shotgun",
    STAND: "stand",
}
"""Name → the line that is held on every chunk. Who already holds the shotgun switches to the chaingun."""
OTHER_WEAPON = "stand, switch to chaingun"
_FORMAT = 1


@dataclass(frozen=True, eq=False)
class Moment:
    """The boundary before chunk `chunk` of a held-out episode."""

    split: str
    episode: Episode
    chunk: int

    @property
    def name(self) -> str:
        """Split, episode and chunk, unique among all recordings of one world."""
        return f"{self.split}/{self.episode.folder.name}/{self.chunk}"


@dataclass(frozen=True, eq=False)
class Truth:
    """What every action really leads to: `frames` uint8 [K, len(chunks), 4, H, W, 3] of the chunks held, from 1.

    `lines` are the K lines; `died` bool [K] tells where the player died while the action was held.
    """

    lines: tuple[str, ...]
    chunks: tuple[int, ...]
    frames: np.ndarray
    died: np.ndarray

    def at(self, chunk: int) -> np.ndarray:
        """The frames of the `chunk`-th held chunk, uint8 [K, 4, H, W, 3]."""
        return self.frames[:, self.chunks.index(chunk)]


class TrueFutures(Protocol):
    """Gives the truth of a moment; the game behind it can be replaced in tests."""

    def __call__(self, moment: Moment, chunks: Sequence[int]) -> Truth:
        """Every action of `ACTIONS` held from the moment; the frames of the asked chunks (from 1, rising)."""
        ...

    def close(self) -> None:
        """Give back what is held open."""
        ...


class GameFutures:
    """`TrueFutures` from the game itself, kept beside the recordings: they are the same for every model.

    One thread only. Where the folder cannot be written, nothing is kept.
    """

    def __init__(self, folder: Path) -> None:
        self.folder = folder
        self._arenas: dict[str, Arena] = {}

    def __call__(self, moment: Moment, chunks: Sequence[int]) -> Truth:
        """As in `TrueFutures`."""
        recording = Recording.from_json(moment.episode.meta).until(moment.chunk)
        what = [_FORMAT, vizdoom.__version__, recording.to_json(), list(ACTIONS.values()), OTHER_WEAPON, list(chunks)]
        path = self.folder / f"{hashlib.sha256(json.dumps(what).encode()).hexdigest()[:24]}.npz"
        kept = _read(path)
        if kept is None:
            kept = self._play(recording, moment.chunk, tuple(chunks))
            _keep(path, kept)
        return kept

    def close(self) -> None:
        """End the engines."""
        for arena in self._arenas.values():
            arena.close()
        self._arenas.clear()

    def _play(self, recording: Recording, chunk: int, chunks: tuple[int, ...]) -> Truth:
        if recording.map not in self._arenas:
            self._arenas[recording.map] = Arena(recording.map)
        arena, last = self._arenas[recording.map], chunks[-1]
        wanted = [number - 1 for number in chunks]
        lines = dict(ACTIONS)
        frames, died = {}, {}
        # Standing comes first: it changes nothing and so tells which weapon is held.
        for name in sorted(lines, key=lambda name: name != STAND):
            frames[name] = true_future(recording, chunk, parse(lines[name]), last, arena)[wanted]
            died[name] = arena.dead()
            if name == STAND and int(arena.value("SELECTED_WEAPON")) == WEAPONS.index("shotgun") + 1:
                lines[SWITCH] = OTHER_WEAPON
        order = list(ACTIONS)
        stacked = np.stack([frames[name] for name in order])
        return Truth(tuple(lines[n] for n in order), chunks, stacked, np.array([died[n] for n in order]))


def _read(path: Path) -> Truth | None:
    """What was kept; None when there is nothing, or nothing whole."""
    try:
        with np.load(path, allow_pickle=False) as kept:
            lines, chunks = (tuple(kept[name].tolist()) for name in ("lines", "chunks"))
            return Truth(lines, chunks, kept["frames"], kept["died"])
    except (OSError, ValueError, KeyError, EOFError, zipfile.BadZipFile):
        return None


def _keep(path: Path, truth: Truth) -> None:
    try:
        os.makedirs(path.parent, exist_ok=True)
        with atomic_file(path) as temporary, open(temporary, "wb") as stream:
            np.savez_compressed(
                stream, lines=np.array(truth.lines), chunks=np.array(truth.chunks), frames=truth.frames, died=truth.died
            )
    except (OSError, StorageError):
        return  # a disk that is full or read-only costs time on the next run, not this one
