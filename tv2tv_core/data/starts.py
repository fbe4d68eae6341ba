"""Start frames that ship: four true frames of a held-out moment and the recording that leads to it.

Beside each other lie `NAME.png`, 160 x 384: the 4 frames of the start chunk from top to bottom, and `NAME.json`: the
recording (map, seed, bots, ops) that ends with this chunk, its index, the meta prompt and the last plan lines. With the
recording every true future from the start can be rendered: `true_future(start.recording, start.chunk + 1, action, n)`.
"""
import json
import os
import re
from dataclasses import dataclass
from pathlib import Path

import numpy as np
from PIL import Image

from tv2tv_core.data.recording import Recording
from tv2tv_core.data.shards import Episode
from tv2tv_core.errors import InputError, StorageError

FOLDER = Path(__file__).resolve().parents[2] / "assets" / "starts"
LINES_KEPT = 8
_SHAPE = (4, 96, 160, 3)


@dataclass(frozen=True)
class Start:
    """A moment to start from. frames: uint8 [4,96,160,3] RGB; chunk: its index in the recording, which ends with it;
    lines: the plan lines up to and with this chunk (at most 8), newest last."""
    name: str
    frames: np.ndarray
    meta_prompt: str
    recording: Recording
    chunk: int
    lines: tuple[str, ...]


def list_starts(folder: Path = FOLDER) -> list[str]:
    """The names of all starts in a folder, sorted."""
    return sorted(path.stem for path in Path(folder).glob("*.json") if path.with_suffix(".png").is_file())


def load_start(name: str, folder: Path = FOLDER) -> Start:
    """Read one start. Raises InputError for an unknown name, StorageError for a damaged file."""
    known = list_starts(folder)
    if name not in known:
        raise InputError(f"unknown start {str(name)[:40]!r}; allowed are {', '.join(known) or 'none'}; "
                         "or give an image or a video")
    path = Path(folder) / name
    try:
        with Image.open(path.with_suffix(".png")) as image:
            frames = np.asarray(image.convert("RGB")).reshape(_SHAPE)
        value = json.loads(path.with_suffix(".json").read_text(encoding="utf-8"))
        return Start(name, frames, value["meta_prompt"], Recording.from_json(value), int(value["chunk"]),
                     tuple(value["lines"]))
    except (OSError, ValueError, KeyError, TypeError) as error:
        raise StorageError(f"the start {name!r} in {folder} cannot be read ({type(error).__name__}); restore both of "
                           "its files") from error


def save_start(name: str, episode: Episode, chunk: int, folder: Path = FOLDER) -> Path:
    """Make a start of chunk `chunk` of a recorded episode; returns the png's path. Raises InputError, StorageError."""
    if not re.fullmatch(r"[a-z0-9]+(-[a-z0-9]+)*", name):
        raise InputError(f"{name!r} is no name for a start; use lower-case words joined by hyphens, e.g. 'blue-hall'")
    if not 0 <= chunk < len(episode):
        raise InputError(f"chunk {chunk} is not in {episode.folder.name}; allowed are 0 to {len(episode) - 1}")
    recording = Recording.from_json(episode.meta).until(chunk + 1)
    lines = episode.lines[max(0, chunk + 1 - LINES_KEPT):chunk + 1]
    value = {"meta_prompt": episode.meta_prompt, "chunk": chunk, "lines": lines, "engine": episode.meta["engine"],
             **recording.to_json()}
    path = Path(folder) / f"{name}.png"
    try:
        path.parent.mkdir(parents=True, exist_ok=True)
        scratch = path.with_suffix(".png.tmp")
        Image.fromarray(np.array(episode.frames[chunk]).reshape(-1, *_SHAPE[2:])).save(scratch, "PNG", optimize=True)
        os.replace(scratch, path)
        scratch = path.with_suffix(".json.tmp")
        scratch.write_text(json.dumps(value, separators=(",", ":")), encoding="utf-8")
        os.replace(scratch, path.with_suffix(".json"))
    except OSError as error:
        raise StorageError(f"cannot write the start {name!r} to {folder}: {error.strerror or error}; free some space "
                           "or choose another folder") from error
    return path
