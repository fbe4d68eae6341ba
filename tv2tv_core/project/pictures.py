"""Frames and latents as the bytes that a project file keeps, and back without trusting those bytes."""

from __future__ import annotations

import io
import math
import struct
from typing import Any

import cv2
import numpy as np

from tv2tv_core.errors import InputError

_PNG_HEAD = b"\x89PNG\r\n\x1a\n\x00\x00\x00\rIHDR"
_DAMAGED = "A picture in the project cannot be read: use a copy of the project, or regenerate from an earlier chunk."


def encode_frames(frames: np.ndarray) -> list[bytes]:
    """uint8 THWC RGB frames as PNG files; lossless, and level 1 because a person is waiting."""
    pages = []
    for frame in frames:
        written, data = cv2.imencode(".png", cv2.cvtColor(frame, cv2.COLOR_RGB2BGR), [cv2.IMWRITE_PNG_COMPRESSION, 1])
        if not written:
            raise RuntimeError("a frame could not be encoded as PNG")
        pages.append(data.tobytes())
    return pages


def check_png(data: object, width: int, height: int) -> bytes:
    """`data` when it is the bytes of a PNG of this size; InputError otherwise. Nothing is decoded."""
    if isinstance(data, bytes) and data[:16] == _PNG_HEAD and data[16:24] == struct.pack(">II", width, height):
        return data
    raise InputError(_DAMAGED)


def decode_frame(data: bytes, width: int, height: int) -> np.ndarray:
    """A PNG as uint8 HWC RGB. Raises InputError when it is damaged or of another size."""
    check_png(data, width, height)  # the size first: a small file can claim to be a huge picture
    try:
        frame = cv2.imdecode(np.frombuffer(data, np.uint8), cv2.IMREAD_COLOR)
    except cv2.error as error:
        raise InputError(_DAMAGED) from error
    if frame is None or frame.shape != (height, width, 3):
        raise InputError(_DAMAGED)
    return cv2.cvtColor(frame, cv2.COLOR_BGR2RGB)


def encode_latents(latents: Any) -> bytes:
    """An array of plain numbers as the bytes of an .npy file; ValueError for anything else."""
    buffer = io.BytesIO()
    np.save(buffer, np.asarray(latents), allow_pickle=False)
    return buffer.getvalue()


def decode_latents(data: object) -> np.ndarray:
    """What `encode_latents` wrote, same type and shape. Raises InputError when it is damaged."""
    if not isinstance(data, bytes):
        raise InputError(_DAMAGED)
    buffer = io.BytesIO(data)
    try:
        # The header first: a few bytes can claim an array that fills the memory.
        version = np.lib.format.read_magic(buffer)
        read = {(1, 0): np.lib.format.read_array_header_1_0, (2, 0): np.lib.format.read_array_header_2_0}[version]
        shape, _, kind = read(buffer)
        if kind.hasobject or math.prod(shape) * kind.itemsize != len(data) - buffer.tell():
            raise InputError(_DAMAGED)
        buffer.seek(0)
        return np.load(buffer, allow_pickle=False)
    except (ValueError, KeyError, TypeError, EOFError, SyntaxError, OverflowError, RecursionError) as error:
        raise InputError(_DAMAGED) from error
