"""Smoothed and sharpened frames of one chunk for the stage, and the file that keeps them.

A chunk's frames depend on the chunk and the frame before it alone, so they never change while the clip grows. The frames
between two given ones belong to the chunk of the later one: at factor f a chunk of k frames has the places 0 … k · f - 1,
its i-th own frame at i · f + f - 1. The first chunk of a clip has nothing before it, so its places begin at f - 1, and n
frames have (n - 1) · f + 1 in all.
"""

from __future__ import annotations

import struct
import zipfile
from collections.abc import Iterator, Sequence
from fractions import Fraction
from itertools import islice
from pathlib import Path

import cv2
import numpy as np

from tv2tv_core.errors import InputError, StorageError
from tv2tv_core.media.atomic import atomic_file, shown
from tv2tv_core.media.delivery import SCALES, WEIGHTS, Delivery, Net, sharpen, smooth
from tv2tv_core.presets import read_sums

SMOOTH = 2  # the stage plays twice the frames: screens show 60 a second
WIDEST = 1280  # pixels across: the stage shows no more
QUALITY = [cv2.IMWRITE_JPEG_QUALITY, 95, cv2.IMWRITE_JPEG_SAMPLING_FACTOR, cv2.IMWRITE_JPEG_SAMPLING_FACTOR_444]
_DATE = (1980, 1, 1, 0, 0, 0)  # the same pictures give the same bytes


def for_stage(smoothed: bool, sharpened: bool, width: int) -> Delivery:
    """What the stage does to frames of `width` pixels: twice the frame rate, 4 or 2 times the size, if it can show them."""
    scales = [scale for scale in SCALES if scale * width <= WIDEST]
    return Delivery(SMOOTH if smoothed else 1, max(scales, default=1) if sharpened else 1)


def variant(delivery: Delivery) -> str:
    """A name for these stages with these weights: other weights draw other pictures."""
    return f"{delivery.fps_factor}x{delivery.sharpen}-{(read_sums(WEIGHTS.parent).get(WEIGHTS.name) or '0' * 8)[:8]}"


def first_place(delivery: Delivery, index: int) -> int:
    """The first place of chunk `index` (from 0) that there is a frame for."""
    return delivery.fps_factor - 1 if index == 0 else 0


def chunk_pictures(
    before: np.ndarray | None, frames: np.ndarray, delivery: Delivery, fps: Fraction, net: Net | None = None
) -> Iterator[np.ndarray]:
    """The frames of a chunk (uint8 THWC RGB) after the stages, in the order of their places, one at a time.

    before: the clip's frame before the chunk, None for its first chunk. Raises WeightsError.
    """
    stream = frames if before is None else np.concatenate([before[None], frames])
    made = smooth(stream, delivery.fps_factor, fps, net)
    return sharpen(islice(made, 0 if before is None else 1, None), delivery.sharpen, net, before)


def encode(picture: np.ndarray) -> bytes:
    """A picture (uint8 HWC RGB) as a JPEG without loss of colour resolution."""
    return cv2.imencode(".jpg", cv2.cvtColor(picture, cv2.COLOR_RGB2BGR), QUALITY)[1].tobytes()


def save(path: Path, pictures: Sequence[bytes], first: int) -> None:
    """Write a chunk's pictures, the first of them at place `first`; whole or not at all. Raises StorageError."""
    with atomic_file(path) as temporary, zipfile.ZipFile(temporary, "w") as pack:
        for place, picture in enumerate(pictures, first):
            pack.writestr(zipfile.ZipInfo(f"{place}.jpg", _DATE), picture)


def load(path: Path, place: int) -> bytes:
    """The JPEG at a place. Raises InputError when the file or the place is not there, StorageError for a damaged file."""
    try:
        with zipfile.ZipFile(path) as pack:
            return pack.read(f"{place}.jpg")
    except (FileNotFoundError, KeyError) as error:
        raise InputError("There is no such preview (any more); the original frames are shown.") from error
    except (OSError, ValueError, EOFError, RuntimeError, struct.error, zipfile.BadZipFile) as error:
        raise StorageError(f"The preview {shown(path.name)} cannot be read; it is made again.") from error
