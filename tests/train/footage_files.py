"""Small recorded episodes, made up: the format of real ones without an engine."""

from __future__ import annotations

import json
import math
from pathlib import Path

import numpy as np

LINES = ("run forward", "run forward", "stand, turn left 15", "stand, turn left 15", "walk back, fire", "run forward, jump")


def write_episode(root: Path, split: str, name: str, chunks: int = 12, seed: int = 0, cut_at: int | None = None) -> Path:
    """One episode of smooth frames that drift, with the turning camera that explains the drift, roughly."""
    rng = np.random.default_rng(seed)
    folder = root / split / name
    folder.mkdir(parents=True)
    y, x = np.mgrid[:96, :160]
    phase = rng.uniform(0, 6, 3)
    frames = np.stack([
        np.stack([127 + 100 * np.sin((x + 2 * t) / (9 + 3 * c) + y / 17 + phase[c]) for c in range(3)], -1)
        for t in range(4 * chunks)
    ]).astype(np.uint8)
    motion = np.zeros((chunks, 4, 3, 48, 80), np.float16)
    motion[1:, :, 2] = 1
    motion[:, :, 0] = np.arange(1, 5)[None, :, None, None]  # 2 pixels of 160 a frame are 1 of 80
    np.save(folder / "frames.npy", frames.reshape(chunks, 4, 96, 160, 3))
    np.save(folder / "motion.npy", motion)

    def yaw(chunk: int, frame: int) -> float:
        return -math.degrees((4 * chunk + frame) / (80 * 5 / 12))  # a pixel a frame, to the right

    rows = [{"line": LINES[i % len(LINES)], "cut": i in (0, cut_at), "events": [], "moved": 8.0,
             "pose": [[0.0, 0.0, 0.0, yaw(i, k), 0.0] for k in range(4)]}
            for i in range(chunks)]
    meta = {"format": 1, "map": "f1:E1M5", "seed": seed, "split": split, "meta_prompt": "a made-up hall", "ops": [],
            "chunks": rows}
    (folder / "episode.json").write_text(json.dumps(meta))
    return folder


def write_footage(root: Path) -> Path:
    """Two training episodes (one with a cut) and one held out."""
    write_episode(root, "train", "a", seed=1)
    write_episode(root, "train", "b", seed=2, cut_at=7)
    write_episode(root, "heldout", "c", seed=3)
    return root
