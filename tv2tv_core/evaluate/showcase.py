"""Smooth and Sharpen beside what they start from: a still and a short video of a held-out recording.

`python -m tv2tv_core.evaluate.showcase --data runs/arena --out docs` writes delivery-both.jpg and delivery-both.mp4.
"""

from __future__ import annotations

import argparse
import sys
from fractions import Fraction
from itertools import pairwise
from pathlib import Path

import numpy as np
from PIL import Image

from tv2tv_core.data.shards import load_split, windows
from tv2tv_core.errors import InputError, TV2TVError
from tv2tv_core.evaluate.pictures import mosaic, mp4
from tv2tv_core.media.atomic import atomic_file
from tv2tv_core.media.delivery import Delivery, Net, deliver, is_cut
from tv2tv_core.media.encode import enlarge

FPS = Fraction(35, 2)
DELIVERY = Delivery(2, 4)
CHUNKS = 8
NAMES = ("as it is made: 160x96, 17.5 frames a second", "Smooth and Sharpen: 640x384, 35 frames a second")


def showcase(data: Path, out: Path, chunks: int = CHUNKS, net: Net | None = None) -> tuple[Path, Path]:
    """Write the still and the video of `chunks` chunks without a cut and with middling motion; returns their paths.

    Raises InputError without held-out recordings of that length, StorageError when the disk refuses.
    """
    frames = typical(data, chunks)
    plain = np.stack([enlarge(frame, DELIVERY.sharpen) for frame in frames]).repeat(DELIVERY.fps_factor, axis=0)
    made = np.stack(list(deliver(frames, DELIVERY, FPS, net)))
    both = mosaic(list(zip(NAMES, (plain[: len(made)], made), strict=True)), 2)
    still, video = Path(out) / "delivery-both.jpg", Path(out) / "delivery-both.mp4"
    with atomic_file(still) as temporary:
        Image.fromarray(both[len(frames) // 2 * DELIVERY.fps_factor]).save(temporary, "JPEG", quality=90)
    with atomic_file(video) as temporary:
        temporary.write_bytes(mp4(both, FPS * DELIVERY.fps_factor))
    return still, video


def typical(data: Path, chunks: int) -> np.ndarray:
    """Frames of `chunks` held-out chunks without a cut that move as much as half of all do, uint8 THWC."""
    episodes = load_split(data, "heldout")
    places = [place for place in windows(episodes, chunks) if place[1] % chunks == 0]
    moving = sorted(places, key=lambda place: _motion(_frames(episodes[place[0]].frames, place[1], chunks)))
    for number, first in moving[len(moving) // 2 :]:
        frames = _frames(episodes[number].frames, first, chunks)
        if not any(is_cut(before, after) for before, after in pairwise(frames)):
            return frames
    raise InputError(f"no {chunks} held-out chunks without a cut in {data}; record some: python3 launch.py record")


def _frames(episode: np.ndarray, first: int, chunks: int) -> np.ndarray:
    return np.concatenate(episode[first : first + chunks])


def _motion(frames: np.ndarray) -> float:
    return float(np.abs(np.diff(frames[:, ::8, ::8].astype(np.int16), axis=0)).mean())


def main() -> int:
    """Run from a command line; returns the exit code."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--data", type=Path, default=Path("runs/arena"))
    parser.add_argument("--out", type=Path, default=Path("docs"))
    chosen = parser.parse_args()
    try:
        for path in showcase(chosen.data, chosen.out):
            print(f"{path}: {path.stat().st_size / 1e6:.2f} MB")
    except TV2TVError as error:
        print(error, file=sys.stderr)
        return 2
    return 0


if __name__ == "__main__":
    sys.exit(main())
