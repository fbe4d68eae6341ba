"""Exact pairs for delivery networks: recordings replayed at every tic (35 frames/s) and as large as the engine draws them.

A recording is played again one tic at a time. What people see (160x96) is kept for whole clips; of each clip some
consecutive tics are also kept at 640x384, from which the small ones were averaged. An episode whose replay differs from
its recorded frames is left out.
"""

from __future__ import annotations

import argparse
import json
import shutil
import sys
from collections.abc import Callable
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path

import cv2
import numpy as np

from tv2tv_core.data.arena import FRAME_SIZE, FRAMES_PER_CHUNK, TICS_PER_FRAME, Arena, brightened, control, replay
from tv2tv_core.data.recording import Recording
from tv2tv_core.data.shards import Episode, load_split, windows
from tv2tv_core.errors import InputError, StorageError
from tv2tv_core.plan import Action

CLIP_CHUNKS = 4
CLIP_TICS = CLIP_CHUNKS * FRAMES_PER_CHUNK * TICS_PER_FRAME
LARGE_TICS = 8
LARGE_SIZE = (640, 384)  # W, H
PLAIN_FPS, FULL_FPS = 17.5, 35.0
Progress = Callable[[int, int, str], None]


class TicArena(Arena):
    """An arena whose `act` looks after every tic instead of every frame; the engine gets the same keys at each tic."""

    def act(self, action: Action, look: Callable[[Arena], object] | None = None) -> list:
        """Play one chunk; returns what `look` saw at its 8 tics."""
        self._log(action)
        vector, seen = control(action), []
        for _ in range(FRAMES_PER_CHUNK * TICS_PER_FRAME):
            self._game.make_action(vector, 1)
            seen.append((look or Arena.look)(self))
        return seen


@dataclass(frozen=True)
class Clip:
    """One clip of pairs on disk: consecutive tics without a cut."""

    folder: Path

    @cached_property
    def small(self) -> np.ndarray:
        """uint8 [CLIP_TICS, 96, 160, 3] at 35 frames/s, memory-mapped."""
        return np.load(self.folder / "small.npy", mmap_mode="r", allow_pickle=False)

    @cached_property
    def large(self) -> np.ndarray:
        """uint8 [LARGE_TICS, 384, 640, 3]: the first tics of the clip, memory-mapped."""
        return np.load(self.folder / "large.npy", mmap_mode="r", allow_pickle=False)


def load_clips(root: Path, split: str) -> list[Clip]:
    """The whole clips of a split, sorted by name; empty when none is there."""
    return [Clip(path.parent) for path in sorted((Path(root) / split).glob("*/clip.json"))]


def record_pairs(data: Path, out: Path, split: str, clips: int, progress: Progress | None = None) -> int:
    """Replay episodes of `data`/`split` until `out`/`split` holds `clips` clips, spread over all episodes.

    Episodes already done are kept. progress: (clips held, clips wanted, what happened). Returns how many clips there
    are, which is fewer than wanted when episodes did not replay. Raises InputError without recordings, StorageError.
    """
    episodes = load_split(data, split)
    if not episodes:
        raise InputError(f"no recordings in {Path(data) / split}; record some: python3 launch.py record")
    each, held = -(-clips // len(episodes)), 0
    # Episodes of all maps in turn, so that stopping early leaves no map out.
    for number in np.random.default_rng(0).permutation(len(episodes)):
        if held >= clips:
            break
        episode = episodes[number]
        found = len(list((Path(out) / split).glob(f"{episode.folder.name}-*/clip.json")))
        made = found or _record_episode(episode, Path(out) / split, each)
        held += made
        if progress and not found:
            progress(held, clips, f"{episode.folder.name}: " + (f"{made} clips" if made else "does not replay, left out"))
    return held


def spread(starts: list[int], count: int) -> list[int]:
    """`count` of the sorted clip starts (chunks), about evenly spaced and not overlapping."""
    chosen: list[int] = []
    for wanted in np.linspace(0, len(starts) - 1, count).round().astype(int) if starts else ():
        start = starts[int(wanted)]
        if not chosen or start >= chosen[-1] + CLIP_CHUNKS:
            chosen.append(start)
    return chosen


def _record_episode(episode: Episode, folder: Path, count: int) -> int:
    """Write `count` clips of an episode; none when the replay differs anywhere from what was recorded."""
    starts = spread([chunk for _, chunk in windows([episode], CLIP_CHUNKS)], count)
    if not starts:
        return 0
    recording = Recording.from_json(episode.meta).until(starts[-1] + CLIP_CHUNKS)
    wanted = {start + k: (start, k) for start in starts for k in range(CLIP_CHUNKS)}
    small = {start: np.zeros((CLIP_TICS, FRAME_SIZE[1], FRAME_SIZE[0], 3), np.uint8) for start in starts}
    large = {start: np.zeros((LARGE_TICS, LARGE_SIZE[1], LARGE_SIZE[0], 3), np.uint8) for start in starts}
    tics_a_chunk = FRAMES_PER_CHUNK * TICS_PER_FRAME
    seen = 0

    def look(arena: Arena) -> None:
        nonlocal seen
        chunk, tic = divmod(seen, tics_a_chunk)
        seen += 1
        if chunk not in wanted:
            return
        start, k = wanted[chunk]
        place, picture = k * tics_a_chunk + tic, brightened(arena.screen())
        small[start][place] = cv2.resize(picture, FRAME_SIZE, interpolation=cv2.INTER_AREA)
        if place < LARGE_TICS:
            large[start][place] = picture

    with TicArena(recording.map) as arena:
        replay(recording, look, arena)
    for start in starts:
        recorded = np.concatenate(list(episode.frames[start : start + CLIP_CHUNKS]))
        if not np.array_equal(small[start][TICS_PER_FRAME - 1 :: TICS_PER_FRAME], recorded):
            return 0
    for start in starts:
        lines = episode.lines[start : start + CLIP_CHUNKS]
        _write(folder / f"{episode.folder.name}-{start:04d}", small[start], large[start], lines)
    return len(starts)


def _write(folder: Path, small: np.ndarray, large: np.ndarray, lines: list[str]) -> None:
    """One clip folder; it counts from the moment its clip.json, written last, is there."""
    try:
        shutil.rmtree(folder, ignore_errors=True)
        folder.mkdir(parents=True)
        np.save(folder / "small.npy", small)
        np.save(folder / "large.npy", large)
        (folder / "clip.json").write_text(json.dumps({"fps": FULL_FPS, "lines": lines}), encoding="utf-8")
    except OSError as error:
        raise StorageError(f"cannot write {folder}: {error.strerror or error}; free some space") from error


def main(arguments: list[str] | None = None) -> int:
    """`python -m tv2tv_core.data.pairs --data runs/arena --out runs/pairs --split train --clips 400`."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--data", type=Path, default=Path("runs/arena"))
    parser.add_argument("--out", type=Path, default=Path("runs/pairs"))
    parser.add_argument("--split", default="train")
    parser.add_argument("--clips", type=int, default=400)
    chosen = parser.parse_args(arguments)
    tell: Progress = lambda held, wanted, words: print(f"{held}/{wanted} {words}", file=sys.stderr, flush=True)  # noqa: E731
    print(record_pairs(chosen.data, chosen.out, chosen.split, chosen.clips, tell), "clips")
    return 0


if __name__ == "__main__":
    sys.exit(main())
