"""Pictures of a report as bytes: contact sheets, and small videos in which clips run side by side."""

from __future__ import annotations

import io
import tempfile
from collections.abc import Sequence
from fractions import Fraction
from pathlib import Path

import numpy as np
from PIL import Image, ImageDraw, ImageFont

from tv2tv_core.media.encode import Kind, write_video
from tv2tv_core.media.sheet import contact_sheet

LABEL = 16  # pixels above each clip of a mosaic
_INK, _PAPER = (235, 235, 235), (24, 24, 24)
# Small files rather than perfect ones.
_MP4 = Kind("mp4", "libx264", "mov_text", {"crf": "27", "preset": "medium", "x264-params": "mbtree=0"})


def file_name(key: str, ending: str) -> str:
    """The name of a picture of the item called `key`."""
    return f"{key.replace('/', '_')}.{ending}"


def sheet_jpeg(rows: Sequence[tuple[str, np.ndarray]], every: int = 1, columns: int | None = None) -> bytes:
    """A contact sheet (see `media.sheet`) as a JPEG: a sixth of the PNG, and a report holds several."""
    stream = io.BytesIO()
    Image.fromarray(contact_sheet(rows, every=every, columns=columns)).save(stream, "JPEG", quality=88, subsampling=0)
    return stream.getvalue()


def mosaic(cells: Sequence[tuple[str, np.ndarray]], columns: int) -> np.ndarray:
    """Labelled clips (each uint8 [T, H, W, 3], all of one shape) in rows of `columns`: uint8 [T, rows * (H + LABEL), ...].

    A last row that is not full is dark at its end. Labels are cut to the width.
    """
    count, height, width = cells[0][1].shape[:3]
    rows = -(-len(cells) // columns)
    canvas = np.full((count, rows * (height + LABEL), columns * width, 3), _PAPER[0], np.uint8)
    for number, (label, clip) in enumerate(cells):
        top, left = number // columns * (height + LABEL), number % columns * width
        canvas[:, top : top + LABEL, left : left + width] = _label(label, width)
        canvas[:, top + LABEL : top + LABEL + height, left : left + width] = clip
    return canvas


def mp4(frames: np.ndarray, fps: Fraction) -> bytes:
    """uint8 [T, H, W, 3] of even size as a small MP4."""
    with tempfile.TemporaryDirectory(prefix="tv2tv-") as folder:
        path = Path(folder) / "clip.mp4"
        write_video(path, _MP4, frames, fps)
        return path.read_bytes()


def _label(text: str, width: int) -> np.ndarray:
    image = Image.new("RGB", (width, LABEL), _PAPER)
    ImageDraw.Draw(image).text((3, 1), text, fill=_INK, font=ImageFont.load_default(size=11))
    return np.asarray(image)
