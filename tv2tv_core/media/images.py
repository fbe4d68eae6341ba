"""Pictures in: any image file a person may bring, as RGB within limits, and cut to the size of a start frame."""

from __future__ import annotations

import base64
import io
import struct
import warnings
import zlib
from pathlib import Path

import cv2
import numpy as np
from PIL import Image, ImageOps

from tv2tv_core.errors import InputError
from tv2tv_core.media.atomic import shown

MAX_IMAGE_BYTES = 100 * 2**20
MAX_IMAGE_PIXELS = 64_000_000
# Named one by one: Pillow also reads formats that start other programs.
IMAGE_FORMATS = ("PNG", "JPEG", "WEBP", "GIF", "BMP", "TIFF", "PPM", "AVIF")
IMAGE_SUFFIXES = frozenset({".png", ".jpg", ".jpeg", ".webp", ".gif", ".bmp", ".tif", ".tiff", ".ppm", ".avif"})

DAMAGED = (
    OSError,
    ValueError,
    SyntaxError,
    EOFError,
    LookupError,
    TypeError,
    ArithmeticError,
    struct.error,
    zlib.error,
)
"""What Pillow's decoders raise on damaged files."""


def load_image(path: str | Path) -> np.ndarray:
    """The picture in `path` as uint8 HWC RGB, upright (EXIF), over black where transparent, first frame if animated.

    Raises InputError when it is missing, not a known image format, damaged, above 100 MB or above 64 megapixels.
    """
    path = Path(path)
    check_file(path, MAX_IMAGE_BYTES)
    try:
        with warnings.catch_warnings():
            # Our own limit below is lower than the one Pillow warns about.
            warnings.simplefilter("ignore")
            with Image.open(path, formats=IMAGE_FORMATS) as image:
                _check_size(path, image.width, image.height)
                return _to_rgb(image)
    except Image.DecompressionBombError as error:
        raise InputError(f"{shown(path.name)} has far more than 64 megapixels: make it smaller first.") from error
    except DAMAGED as error:
        raise InputError(
            f"{shown(path.name)} is not a readable image (PNG, JPEG, WebP, GIF, BMP, TIFF): open it in an image editor "
            "and save it again as PNG."
        ) from error


def decode_jpeg(text: str, width: int, height: int) -> np.ndarray:
    """A JPEG in base64 as uint8 HWC RGB. Raises InputError unless it is one of exactly this size."""
    try:
        with Image.open(io.BytesIO(base64.b64decode(text, validate=True)), formats=["JPEG"]) as image:
            if image.size == (width, height):  # before a pixel is decoded
                return np.array(image.convert("RGB"))
    except DAMAGED as error:
        raise InputError("The picture cannot be read: choose another file.") from error
    raise InputError(f"The picture must have {width} x {height} pixels.")


def fit_frame(image: np.ndarray, width: int, height: int) -> np.ndarray:
    """Cut the middle of `image` (uint8 HWC) to the aspect of `width` x `height` and resize it to exactly that size."""
    have_height, have_width = image.shape[:2]
    scale = min(have_width / width, have_height / height)
    crop_width = max(1, min(have_width, round(width * scale)))
    crop_height = max(1, min(have_height, round(height * scale)))
    left, top = (have_width - crop_width) // 2, (have_height - crop_height) // 2
    middle = np.ascontiguousarray(image[top : top + crop_height, left : left + crop_width])
    if middle.shape[:2] == (height, width):
        return middle
    # Area averaging is exact when shrinking; when enlarging it would only repeat pixels.
    method = cv2.INTER_AREA if scale > 1 else cv2.INTER_CUBIC
    return cv2.resize(middle, (width, height), interpolation=method)


def check_file(path: Path, max_bytes: int) -> None:
    """Raise InputError unless `path` is a regular, readable, non-empty file of at most `max_bytes`."""
    try:
        found, size = path.is_file(), path.stat().st_size
    except (OSError, ValueError) as error:
        raise InputError(f"{shown(path)} cannot be found or opened: check the path.") from error
    if not found:
        raise InputError(f"{shown(path)} is not a file: give the path of one.")
    if size == 0:
        raise InputError(f"{shown(path.name)} is empty (0 bytes): choose another file.")
    if size > max_bytes:
        size_mb, max_mb = size / 2**20, max_bytes / 2**20
        raise InputError(f"{shown(path.name)} has {size_mb:.1f} MB; at most {max_mb:.0f} MB are allowed.")


def _check_size(path: Path, width: int, height: int) -> None:
    if width * height > MAX_IMAGE_PIXELS:
        raise InputError(
            f"{shown(path.name)} has {width} x {height} pixels; at most 64 megapixels are allowed: "
            "make it smaller first."
        )


def _to_rgb(image: Image.Image) -> np.ndarray:
    upright = ImageOps.exif_transpose(image)
    if upright.mode.startswith(("I", "F")):
        # 16 bits and more: Pillow's own conversion would clip everything above 255 to white.
        values = np.asarray(upright, np.float64)
        grey = values / 257 if upright.mode != "F" else values * 255
        return np.repeat(np.clip(np.nan_to_num(grey), 0, 255).astype(np.uint8)[..., None], 3, axis=2)
    if upright.has_transparency_data:
        layer = upright.convert("RGBA")
        black = Image.new("RGBA", layer.size, (0, 0, 0, 255))
        upright = Image.alpha_composite(black, layer)
    return np.array(upright.convert("RGB"))
