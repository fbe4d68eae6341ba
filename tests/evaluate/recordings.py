"""Made-up recordings for the tests of evaluation: in memory, or as episode folders on disk."""

from __future__ import annotations

import json
from dataclasses import dataclass
from pathlib import Path

import numpy as np

from tests.evaluate.pictures import pan, wide_picture


@dataclass
class Panning:
    """A recording of a camera that pans at one speed, with the contract of an episode."""

    frames: np.ndarray
    lines: list[str]
    cuts: np.ndarray
    meta_prompt: str = "a room"

    def __len__(self) -> int:
        return len(self.lines)

    @classmethod
    def make(cls, chunks: int = 7, speed: int = 1, seed: int = 0, cut: int = 0) -> Panning:
        """`chunks` chunks of 96x160 pixels; the plan line changes on every second chunk; a second cut at `cut`."""
        frames = pan(wide_picture(96, 480, seed), chunks, speed)
        lines = [("run forward", "stand, turn right 5")[index // 2 % 2] for index in range(chunks)]
        return cls(frames, lines, np.isin(range(chunks), [0, cut]))


def write_episode(folder: Path, recording: Panning) -> None:
    """The recording as an episode folder, without motion and with an operation log of its lines alone."""
    folder.mkdir(parents=True)
    np.save(folder / "frames.npy", recording.frames)
    chunks = [{"line": line, "cut": bool(cut)} for line, cut in zip(recording.lines, recording.cuts, strict=True)]
    ops = [["act", line, 1] for line in recording.lines]
    meta = {"map": "f1:E1M5", "seed": 1, "bots": 0, "ops": ops, "meta_prompt": recording.meta_prompt, "chunks": chunks}
    (folder / "episode.json").write_text(json.dumps(meta), encoding="utf-8")
