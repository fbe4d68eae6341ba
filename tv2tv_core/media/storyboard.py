"""The storyboard sheet: one picture for each beat with its time and plan line, on A4 pages that people print."""

from __future__ import annotations

import math
from collections.abc import Iterator, Sequence
from dataclasses import dataclass

import cv2
import numpy as np

from tv2tv_core.media.captions import plain, time_code
from tv2tv_core.media.clip_view import Beat, ClipView, FrameReader, beats
from tv2tv_core.media.lettering import BOLD, LEADING, REGULAR, draw_text, text_width, wrap

DPI = 200
PAGE = (2338, 1654)
"""Width and height of A4 across, in pixels."""
_MARGIN, _HEADER, _FOOTER, _GUTTER = 72, 124, 48, 36
_PAPER, _INK, _GREY, _LINE = 255, (24, 24, 26), (105, 105, 112), (208, 208, 212)
_AUTHORS = {"model": ("the model wrote", (46, 120, 170)), "person": ("a person wrote", (214, 110, 30))}
_NOBODY = (150, 150, 155)


@dataclass(frozen=True)
class _Grid:
    columns: int
    rows: int

    @property
    def cells(self) -> int:
        return self.columns * self.rows

    @property
    def letters(self) -> int:
        """Size of the text in one cell, in pixels."""
        return 34 if self.columns == 2 else 27

    @property
    def step(self) -> int:
        """From one row of text to the next, in pixels."""
        return round(self.letters * LEADING)

    @property
    def width(self) -> int:
        """Of one cell, in pixels."""
        return (PAGE[0] - 2 * _MARGIN - (self.columns - 1) * _GUTTER) // self.columns

    @property
    def height(self) -> int:
        """Of one cell, in pixels."""
        return (PAGE[1] - 2 * _MARGIN - _HEADER - _FOOTER - (self.rows - 1) * _GUTTER) // self.rows


def page_count(view: ClipView) -> int:
    """How many pages the sheet of this clip has, at least one."""
    told = beats(view)
    return max(1, math.ceil(len(told) / _grid(told).cells))


def pages(view: ClipView) -> Iterator[np.ndarray]:
    """The pages as uint8 HWC of size `PAGE`, drawn one after the other."""
    told = beats(view)
    grid, frames = _grid(told), FrameReader(view)
    count = max(1, math.ceil(len(told) / grid.cells))
    for page in range(count):
        image = np.full((PAGE[1], PAGE[0], 3), _PAPER, np.uint8)
        _head(image, view, len(told))
        for place, beat in enumerate(told[page * grid.cells : (page + 1) * grid.cells]):
            row, column = divmod(place, grid.columns)
            left = _MARGIN + column * (grid.width + _GUTTER)
            top = _MARGIN + _HEADER + row * (grid.height + _GUTTER)
            # The middle of a beat shows what it is about; its first frame still shows the one before.
            picture = frames[(beat.start + beat.end) // 2]
            number = page * grid.cells + place + 1
            cell = image[top : top + grid.height, left : left + grid.width]
            _cell(cell, picture, f"{number}", beat, view, grid)
        _foot(image, view, page + 1, count)
        yield image


def _grid(told: Sequence[Beat]) -> _Grid:
    """The fullest grid that still leaves room for what the beats say."""
    if len(told) <= 2:
        return _Grid(2, 1)
    if len(told) <= 6:
        return _Grid(3, 2)
    dense = _Grid(4, 3)
    room = dense.height - dense.width * 3 // 5 - dense.letters  # under the picture and the row with the time
    fits = all(len(wrap(plan, dense.width, dense.letters, 9)) * dense.step <= room for plan in {b.plan for b in told})
    return dense if fits else _Grid(4, 2)


def _cell(cell: np.ndarray, picture: np.ndarray, number: str, beat: Beat, view: ClipView, grid: _Grid) -> None:
    """One beat: the picture, then its number, time and author, then the plan line."""
    size, step = grid.letters, grid.step
    tall = min(round(grid.width * view.height / view.width), grid.height - 3 * step)
    wide = min(grid.width, round(tall * view.width / view.height))
    cell[:tall, :wide] = cv2.resize(picture, (wide, tall), interpolation=cv2.INTER_LANCZOS4)
    baseline = tall + step
    _, colour = _AUTHORS.get(beat.source or "", ("", _NOBODY))
    dot = size // 3
    cv2.circle(cell, (dot, baseline - round(size * 0.36)), dot, colour, -1, cv2.LINE_AA)
    times = f"{time_code(beat.start / view.fps)} – {time_code(beat.end / view.fps)}"
    draw_text(cell, number, round(size * 1.05), baseline, size, _INK, BOLD)
    draw_text(cell, times, wide - text_width(times, size), baseline, size, _GREY)
    most = max(1, (grid.height - baseline - size // 4) // step)
    for row, text in enumerate(wrap(beat.plan or "no plan line yet", grid.width, size, most), 1):
        draw_text(cell, text, 0, baseline + row * step, size, _INK if beat.plan else _GREY)


def _head(image: np.ndarray, view: ClipView, count: int) -> None:
    right = PAGE[0] - _MARGIN
    facts = f"{count} {'beat' if count == 1 else 'beats'} · {float(view.seconds):.1f} s · {view.frames} frames"
    draw_text(image, facts, right - text_width(facts, 30), _MARGIN + 34, 30, _GREY)
    room = right - _MARGIN - text_width(facts, 30) - 60
    for row in wrap(view.name, room, 46, 1, BOLD):
        draw_text(image, row, _MARGIN, _MARGIN + 36, 46, _INK, BOLD)
    for row in wrap(str(view.document.get("prompt", "")), right - _MARGIN, 30, 1):
        draw_text(image, row, _MARGIN, _MARGIN + 84, 30, _GREY)
    image[_MARGIN + 104 : _MARGIN + 106, _MARGIN:right] = _LINE


def _foot(image: np.ndarray, view: ClipView, page: int, count: int) -> None:
    baseline, right, left = PAGE[1] - _MARGIN, PAGE[0] - _MARGIN, _MARGIN
    number = f"page {page} of {count}"
    draw_text(image, number, right - text_width(number, 26), baseline, 26, _GREY)
    for words, colour in _AUTHORS.values():
        cv2.circle(image, (left + 9, baseline - 9), 9, colour, -1, cv2.LINE_AA)
        draw_text(image, words, left + 30, baseline, 26, _GREY, REGULAR)
        left += 30 + text_width(words, 26) + 50
    made = " · ".join(f"{key} {plain(str(view.document[key]))}" for key in ("preset", "seed") if key in view.document)
    for row in wrap(made, right - left - text_width(number, 26) - 60, 26, 1):
        draw_text(image, row, left, baseline, 26, _GREY)
