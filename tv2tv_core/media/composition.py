"""What is laid over and beside the frames of a clip: captions in the picture, and two takes in one picture (moviepy).

moviepy composes, frame by frame at the middle of each frame's time; it never writes a file, so no frame can be lost to a
rounded duration. Only clips that need it come here.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from fractions import Fraction
from functools import lru_cache

import numpy as np

from tv2tv_core.errors import InputError
from tv2tv_core.media.captions import Cue, cues
from tv2tv_core.media.clip_view import ClipView, FrameReader
from tv2tv_core.media.encode import enlarge
from tv2tv_core.media.lettering import BOLD, LEADING, draw_text, text_width, wrap

_BOX_ALPHA = 0.66
_DIMMED = 0.4
_GAP = 8
_BACKGROUND = (22, 22, 24)
_LABEL = (238, 238, 238)


def pictures(view: ClipView, scale: int) -> Iterator[np.ndarray]:
    """Every frame of the clip as uint8 HWC, `scale` times as large."""
    return (enlarge(frame, scale) for frame in FrameReader(view))


def captioned(view: ClipView, scale: int) -> Iterator[np.ndarray]:
    """Every frame with the plan line in force drawn into it."""
    size = (view.width * scale, view.height * scale)
    return lettered(pictures(view, scale), cues(view), size, view.frames, view.fps)


def lettered(
    pictures: Iterator[np.ndarray], shown: Sequence[Cue], size: tuple[int, int], count: int, fps: Fraction
) -> Iterator[np.ndarray]:
    """`count` pictures of `size` (W, H) with the captions drawn into them; one picture is in memory at a time."""
    held = _Forward(pictures)
    layers = [_moving(held.picture, count, fps), _caption_layer(shown, size, count, fps)]
    return _composed(layers, size, count, fps)


def side_by_side(left: ClipView, right: ClipView, scale: int, captions: bool) -> Iterator[np.ndarray]:
    """Two takes in sync, their names above; the shorter one holds its last frame, dimmed, until the longer one ends.

    Raises InputError when they are of different size or frame rate.
    """
    if (left.width, left.height, left.fps) != (right.width, right.height, right.fps):
        raise InputError("The two takes differ in size or frame rate: choose two takes of one project.")
    width, height = left.width * scale, left.height * scale
    count = max(left.frames, right.frames)
    band = _even(max(14, height // 12))
    size = (2 * width + _GAP, height + band)
    layers = [_still(_labels([left.name, right.name], width, band))]
    for view, at in ((left, 0), (right, width + _GAP)):
        held = _held(view, scale)
        layers.append(_moving(held, count, view.fps).with_position((at, band)))
        if captions:
            layer = _caption_layer(cues(view), (width, height), count, view.fps)
            layers.append(layer.with_position((at, band)))
    return _composed(layers, size, count, left.fps)


class _Forward:
    """A stream of pictures, by number, for a reader that never goes back."""

    def __init__(self, pictures: Iterator[np.ndarray]) -> None:
        self._pictures, self._number = pictures, -1
        self._last: np.ndarray | None = None

    def picture(self, number: int) -> np.ndarray:
        """Picture `number`: the one asked for last, or a later one."""
        while self._number < number:
            self._last = None  # before the next one is made
            self._last, self._number = next(self._pictures), self._number + 1
        return self._last


def _held(view: ClipView, scale: int) -> Callable[[int], np.ndarray]:
    """Frame by number, and the last one, dimmed, for every number after it."""
    frames, last = FrameReader(view), view.frames - 1
    rest: list[np.ndarray] = []

    def picture(number: int) -> np.ndarray:
        if number <= last:
            return enlarge(frames[number], scale)
        if not rest:
            rest.append((enlarge(frames[last], scale) * _DIMMED).astype(np.uint8))
        return rest[0]

    return picture


def _moving(picture: Callable[[int], np.ndarray], count: int, fps: Fraction):
    """A moviepy clip of `count` pictures."""
    from moviepy import VideoClip

    return VideoClip(lambda moment: picture(min(count - 1, int(moment * fps))), duration=float(count / fps))


def _still(picture: np.ndarray):
    from moviepy import ImageClip

    return ImageClip(picture)


def _composed(layers: list, size: tuple[int, int], count: int, fps: Fraction) -> Iterator[np.ndarray]:
    from moviepy import CompositeVideoClip

    whole = CompositeVideoClip(layers, size=size, bg_color=_BACKGROUND)
    for number in range(count):
        yield whole.get_frame(float((number + Fraction(1, 2)) / fps))


def _caption_layer(shown: Sequence[Cue], size: tuple[int, int], count: int, fps: Fraction):
    """A transparent clip of `size` on which the caption of each moment stands; each is drawn when its time has come."""
    starts = [cue.start for cue in shown]

    @lru_cache(maxsize=2)
    def drawn(cue: int) -> tuple[np.ndarray, np.ndarray]:
        return _caption("" if cue < 0 else shown[cue].text, *size)

    def at(number: int) -> tuple[np.ndarray, np.ndarray]:
        found = int(np.searchsorted(starts, number, side="right")) - 1
        return drawn(found if found >= 0 and number < shown[found].end else -1)

    mask = _moving(lambda number: at(number)[1], count, fps)
    mask.is_mask = True
    return _moving(lambda number: at(number)[0], count, fps).with_mask(mask)


def _caption(text: str, width: int, height: int) -> tuple[np.ndarray, np.ndarray]:
    """Colours (uint8 HWC) and opacity (float HW in [0, 1]) of one caption: white letters on dark boxes near the bottom."""
    size = max(9, round(height / 17))
    rows = wrap(text, round(width * 0.92), size, most=3)
    letters = np.zeros((height, width, 3), np.uint8)
    opacity = np.zeros((height, width))
    step, pad = round(size * LEADING), max(2, size // 3)
    bottom = height - max(3, height // 24) - pad
    for number, row in enumerate(rows):
        wide = text_width(row, size)
        left, baseline = (width - wide) // 2, bottom - (len(rows) - 1 - number) * step - size // 5
        top = baseline - size
        opacity[max(0, top - pad // 2) : top + step + pad // 2, max(0, left - pad) : left + wide + pad] = _BOX_ALPHA
        draw_text(letters, row, left, baseline, size, (255, 255, 255))
    ink = letters[..., 0] / 255
    total = ink + opacity * (1 - ink)
    colour = np.divide(255 * ink, total, out=np.zeros_like(ink), where=total > 0)
    return np.repeat(np.rint(colour).astype(np.uint8)[..., None], 3, axis=2), total


def _labels(names: Sequence[str], width: int, band: int) -> np.ndarray:
    """The band with the names of the takes, one above each."""
    image = np.full((band, len(names) * width + (len(names) - 1) * _GAP, 3), _BACKGROUND, np.uint8)
    size = max(9, round(band * 0.62))
    for number, name in enumerate(names):
        row = "".join(wrap(name, width - band, size, most=1, weight=BOLD))
        left = number * (width + _GAP) + band // 3
        draw_text(image, row, left, (band + round(size * 0.7)) // 2, size, _LABEL, BOLD)
    return image


def _even(number: int) -> int:
    return number + number % 2
