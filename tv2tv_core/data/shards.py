"""Recorded episodes on disk, read lazily: frames, true motion, plan lines, and windows that never cross a cut."""
import json
from collections.abc import Sequence
from functools import cached_property
from pathlib import Path

import numpy as np

from tv2tv_core.errors import StorageError

SPLITS = ("train", "heldout", "heldout_map")


class Episode:
    """One episode folder; arrays are memory-mapped when first touched."""

    def __init__(self, folder: Path) -> None:
        """Reads `episode.json` only. Raises StorageError when the folder is no episode."""
        self.folder = Path(folder)
        try:
            self.meta = json.loads((self.folder / "episode.json").read_text(encoding="utf-8"))
            self.chunks: list[dict] = self.meta["chunks"]
        except (OSError, ValueError, KeyError) as error:
            raise StorageError(f"{self.folder} is not a recorded episode ({type(error).__name__}); remove the folder "
                               "and record again") from error

    def __len__(self) -> int:
        return len(self.chunks)

    @cached_property
    def frames(self) -> np.ndarray:
        """uint8 [n,4,96,160,3] RGB, memory-mapped."""
        return np.load(self.folder / "frames.npy", mmap_mode="r", allow_pickle=False)

    @cached_property
    def motion(self) -> np.ndarray:
        """float16 [n,4,3,48,80]: (dx, dy, visible) towards the last frame of the previous chunk, memory-mapped."""
        return np.load(self.folder / "motion.npy", mmap_mode="r", allow_pickle=False)

    @cached_property
    def lines(self) -> list[str]:
        """The canonical plan line of every chunk."""
        return [chunk["line"] for chunk in self.chunks]

    @cached_property
    def cuts(self) -> np.ndarray:
        """bool [n]: nothing connects this chunk with the one before (the first chunk, a respawn, a teleport)."""
        return np.array([chunk["cut"] for chunk in self.chunks], bool)

    @cached_property
    def poses(self) -> np.ndarray:
        """float32 [n,4,5]: x, y, eye z (map units), yaw, pitch (degrees; left and up are positive)."""
        return np.array([chunk["pose"] for chunk in self.chunks], np.float32)

    @property
    def meta_prompt(self) -> str:
        """What the episode shows, in words."""
        return self.meta["meta_prompt"]

    @property
    def map(self) -> str:
        """The map, e.g. "f1:E1M5"."""
        return self.meta["map"]


def load_split(root: Path, split: str) -> list[Episode]:
    """The whole episodes of a split, sorted by name; unfinished ones are not seen. Empty when none is there."""
    folder = Path(root) / split
    if not folder.is_dir():
        return []
    return [Episode(path) for path in sorted(folder.iterdir())
            if path.suffix != ".tmp" and (path / "episode.json").is_file()]


def windows(episodes: Sequence[Episode], n: int) -> list[tuple[int, int]]:
    """All (episode index, first chunk) of `n` chunks in a row without a cut after the first of them."""
    found = []
    for index, episode in enumerate(episodes):
        starts = np.flatnonzero(episode.cuts).tolist() + [len(episode)]
        for first, end in zip(starts, starts[1:]):
            found += [(index, chunk) for chunk in range(first, end - n + 1)]
    return found
