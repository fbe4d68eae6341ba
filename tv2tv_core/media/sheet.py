"""Contact sheets: rows of clips with labels as one picture, for documentation, training samples and evaluation."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

import cv2
import numpy as np
from PIL import Image, ImageDraw, ImageFont

from tv2tv_core.media.atomic import atomic_file

_GAP = 2
_BACKGROUND = 24
_LABEL_HEIGHT = 18


def contact_sheet(
    rows: Sequence[tuple[str, np.ndarray]], every: int = 4, columns: int | None = None, scale: int = 1
) -> np.ndarray:
    """One labelled row per clip as uint8 HWC RGB.

    A clip is uint8 TZHWC (chunks of frames) or THWC; every `every`-th frame is shown, at most `columns` of them,
    enlarged `scale` times. Rows may differ in length and size; labels are ASCII (other letters may show
    as boxes). Raises ValueError when there is nothing to show.
    """
    if not rows or every < 1 or scale < 1 or (columns is not None and columns < 1):
        raise ValueError("a contact sheet needs at least one row, and every, columns and scale from 1")
    strips = [_strip(label, clip, every, columns, scale) for label, clip in rows]
    width = max(strip.shape[1] for strip in strips)
    return np.concatenate(
        [
            np.pad(strip, ((0, 0), (0, width - strip.shape[1]), (0, 0)), constant_values=_BACKGROUND)
            for strip in strips
        ]
    )


def save_png(path: str | Path, image: np.ndarray) -> None:
    """Write uint8 HWC RGB as PNG, whole or not at all. Raises StorageError when the disk refuses."""
    path = Path(path)
    with atomic_file(path) as temporary:
        Image.fromarray(image).save(temporary, format="PNG", optimize=True)


def _strip(label: str, clip: np.ndarray, every: int, columns: int | None, scale: int) -> np.ndarray:
    if clip.dtype != np.uint8 or clip.ndim not in (4, 5) or clip.shape[-1] != 3 or not len(clip):
        raise ValueError(f"row {label!r}: expected uint8 TZHWC or THWC, got {clip.dtype} {clip.shape}")
    frames = clip.reshape(-1, *clip.shape[-3:])[::every][:columns]
    height, width = frames.shape[1] * scale, frames.shape[2] * scale
    strip = np.full((_LABEL_HEIGHT + height + _GAP, len(frames) * (width + _GAP), 3), _BACKGROUND, np.uint8)
    for number, frame in enumerate(frames):
        left = number * (width + _GAP)
        large = cv2.resize(frame, (width, height), interpolation=cv2.INTER_NEAREST)
        strip[_LABEL_HEIGHT : _LABEL_HEIGHT + height, left : left + width] = large
    strip[:_LABEL_HEIGHT] = _label(label, strip.shape[1])
    return strip


def _label(text: str, width: int) -> np.ndarray:
    image = Image.new("RGB", (width, _LABEL_HEIGHT), (_BACKGROUND,) * 3)
    # Pillow's own font needs no file on the system.
    ImageDraw.Draw(image).text((3, 1), text, fill=(235, 235, 235), font=ImageFont.load_default(size=13))
    return np.asarray(image)
