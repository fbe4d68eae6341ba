"""Start frames inside a clip's document: PNG as base64, only for starts that do not ship, without repeats at their end."""

from __future__ import annotations

import base64
import binascii
import io
from collections.abc import Sequence

import cv2
import numpy as np
from PIL import Image

from tv2tv_core.errors import InputError
from tv2tv_core.media.images import DAMAGED, fit_frame

MAX_PICTURE = 4 * 2**20
"""Longest picture in base64 letters; a 160 x 96 frame takes about 40,000."""
MAX_PICTURES = 12 * 2**20
"""The same for all pictures together; of a longer start the last frames are kept, since a clip goes on from these."""


def pack_start(name: str, frames: np.ndarray) -> list[str]:
    """The frames of the start chunk (uint8 THWC) as base64 PNG, ready for JSON; empty when `name` ships these frames.

    A last frame that is repeated to fill the chunk comes once.
    """
    if _ships(name, frames):
        return []
    count = len(frames)
    while count > 1 and np.array_equal(frames[count - 1], frames[count - 2]):
        count -= 1
    pictures: list[str] = []
    room = MAX_PICTURES
    for frame in frames[:count][::-1]:
        pictures.append(base64.b64encode(cv2.imencode(".png", frame[..., ::-1])[1].tobytes()).decode("ascii"))
        room -= len(pictures[-1])
        if room < 0 and len(pictures) > 1:
            pictures.pop()
            break
    return pictures[::-1]


def unpack_start(pictures: Sequence[object], count: int, size: tuple[int, int]) -> np.ndarray:
    """The start chunk as uint8 THWC: `count` frames of `size` (width, height) from what `pack_start` made.

    Raises InputError for anything else: another number or size of pictures, not PNG, damaged, too large.
    """
    if not 1 <= len(pictures) <= count:
        raise InputError(f"It has {len(pictures)} start frames; 1 to {count} are allowed.")
    frames = [_picture(picture, size) for picture in pictures]
    return np.stack(frames + frames[-1:] * (count - len(frames)))


def shipped_start(name: str, size: tuple[int, int]) -> np.ndarray | None:
    """The frames of the start that ships as `name`, as uint8 THWC of `size` (width, height); None when there is none."""
    from tv2tv_core.data.starts import list_starts, load_start

    if name not in list_starts():
        return None
    return np.stack([fit_frame(frame, *size) for frame in load_start(name).frames])


def _picture(text: object, size: tuple[int, int]) -> np.ndarray:
    if not isinstance(text, str) or len(text) > MAX_PICTURE:
        raise InputError("A start frame in it is not a small PNG picture.")
    try:
        with Image.open(io.BytesIO(base64.b64decode(text, validate=True)), formats=("PNG",)) as image:
            if image.size != size:  # before anything is unpacked
                raise InputError(f"A start frame in it is {image.size}, not {size} pixels.")
            return np.array(image.convert("RGB"))
    except (binascii.Error, Image.DecompressionBombError, *DAMAGED) as error:
        raise InputError("A start frame in it is not a readable PNG picture.") from error


def _ships(name: str, frames: np.ndarray) -> bool:
    # An own picture may be called like a start that ships.
    height, width = frames.shape[1:3]
    shipped = shipped_start(name, (width, height))
    return shipped is not None and shipped.shape == frames.shape and np.abs(shipped.astype(int) - frames).mean() < 2
