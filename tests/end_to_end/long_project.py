"""Puts a project of thousands of chunks into a folder in seconds, through the project file's own interface."""

from __future__ import annotations

import itertools
from fractions import Fraction
from pathlib import Path

import numpy as np

from tests.fakes import LINES
from tv2tv_core.project.file import Project, ProjectInfo
from tv2tv_core.story import new_id
from tv2tv_core.timeline import ChunkSegment, History, TextSegment

FRAMES = 4
PLAIN = np.full((24, 40, 3), 128, np.uint8)
OPTIONS = {"steps": 1, "guidance": 1.0, "temperature": 0.8, "top_p": 0.9, "stream": "main", "model_hash": "0" * 64}


def make_long_project(folder: Path, chunks: int, picture: np.ndarray = PLAIN, durable: bool = False) -> str:
    """A project of `chunks` chunks in `folder`; its id. Every frame is `picture`, uint8 HWC, moved a little and marked.

    `durable`: every commit waits for the disk, as in the studio.
    """
    info = ProjectInfo(
        id=new_id(), name=f"{chunks} chunks", created="2026-01-01T00:00:00+00:00", preset="embedded", backend="fake",
        model_hash="0" * 64, fps=Fraction(35, 2), chunk_frames=FRAMES, width=picture.shape[1], height=picture.shape[0],
        prompt="a long walk", start="hall", settings={"seed": 3},
    )  # fmt: skip
    folder.mkdir(parents=True, exist_ok=True)
    end = History(_chunk(-1, picture), prompt=info.prompt)
    with Project.create(folder / f"{info.id}.tv2tv", info, end) as project:
        if not durable:
            project._db.execute("PRAGMA synchronous = OFF")  # thousands of commits, none of them worth a wait
        take = project.story.active
        lines = itertools.cycle(LINES)
        for index in range(chunks):
            if index % 3 == 0:
                end = end.then(TextSegment(next(lines), "person" if index % 9 == 0 else "model"))
            end = end.then(_chunk(index, picture))
            project.commit_chunk(end, take, None, OPTIONS, 0.1, None)
    return info.id


def _chunk(index: int, picture: np.ndarray) -> ChunkSegment:
    """Four frames that no other chunk has."""
    number = FRAMES * (index + 1)
    frames = np.stack([np.roll(picture, number + k, axis=1) for k in range(FRAMES)])
    frames[:, :8, :8] = (number % 256, number // 256, 0)
    return ChunkSegment(index, frames, np.zeros(3, np.float16), None if index < 0 else index)
