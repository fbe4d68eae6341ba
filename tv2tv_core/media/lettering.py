"""Text in pictures with the fonts inside OpenCV: Latin, Greek, Cyrillic, Hebrew, Arabic and CJK without a font file."""

from __future__ import annotations

import threading
import unicodedata

import cv2
import numpy as np

from tv2tv_core.media.captions import plain

REGULAR, BOLD = 400, 700
LEADING = 1.3
"""Distance between two baselines in font sizes."""
_MORE = "…"
_FACES: dict[str, cv2.FontFace] = {}
# OpenCV keeps the glyphs that it has drawn in one place for all threads.
_LOCK = threading.Lock()


def text_width(text: str, size: int, weight: int = REGULAR) -> int:
    """How many pixels wide `text` is in letters of `size` pixels."""
    if not text:
        return 0
    with _LOCK:
        left, _, width, _ = cv2.getTextSize((0, 0), text, (0, 0), _face(), size, weight)
    return max(0, left) + width


def wrap(text: str, width: int, size: int, most: int, weight: int = REGULAR) -> list[str]:
    """`text` in at most `most` rows that are no wider than `width` pixels; what does not fit is cut and ends in `…`.

    Rows break between words, anywhere in Chinese and Japanese, and inside a word that alone is too wide.
    """
    rows: list[str] = []
    rest = plain(text)
    while rest:
        row = _longest(rest, width, size, weight)
        if len(rows) == most - 1 and len(row) < len(rest):
            cut = _longest(rest, width - text_width(_MORE, size, weight), size, weight, inside=True)
            return [*rows, cut.rstrip() + _MORE]
        rows.append(row.rstrip())
        rest = rest[len(row) :].lstrip()
    return rows


def draw_text(
    image: np.ndarray, text: str, left: int, baseline: int, size: int, colour: tuple[int, int, int], weight: int = REGULAR
) -> None:
    """Write one row of `text` into `image` (uint8 HWC, in place). Letters that no font has become question marks."""
    if not text:
        return
    with _LOCK:
        drawn = cv2.putText(image, text, (left, baseline), colour, _face(), size, weight)[1]
    if drawn is not image:
        image[...] = drawn


def _longest(text: str, width: int, size: int, weight: int, inside: bool = False) -> str:
    """The longest beginning of `text` that fits; it ends at a blank unless the first word alone is too wide."""
    low, high = 1, len(text)
    while low < high:  # widths grow with the number of letters
        middle = (low + high + 1) // 2
        low, high = (middle, high) if text_width(text[:middle].rstrip(), size, weight) <= width else (low, middle - 1)
    if low == len(text) or inside or text[low] == " " or unicodedata.east_asian_width(text[low]) in "WF":
        return text[:low]
    blank = text.rfind(" ", 0, low)
    return text[: blank + 1] if blank > 0 else text[:low]


def _face() -> cv2.FontFace:
    if "sans" not in _FACES:
        _FACES["sans"] = cv2.FontFace("sans")
    return _FACES["sans"]
