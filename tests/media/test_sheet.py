"""Contact sheets show the frames that were asked for, under their labels."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from tv2tv_core.errors import StorageError
from tv2tv_core.media.sheet import contact_sheet, save_png


def clip(chunks: int, height: int = 12, width: int = 20) -> np.ndarray:
    numbers = 40 + np.arange(chunks * 4, dtype=np.uint8).reshape(chunks, 4, 1, 1, 1) * 4
    return np.broadcast_to(numbers, (chunks, 4, height, width, 3)).copy()


def shades(sheet: np.ndarray, row_middle: int, pitch: int, count: int) -> list[int]:
    return [int(sheet[row_middle, pitch // 2 + number * pitch, 0]) for number in range(count)]


def test_every_nth_frame_stands_in_its_column() -> None:
    sheet = contact_sheet([("a", clip(3))], every=4, scale=2)
    assert shades(sheet, 18 + 12, 42, 3) == [40, 56, 72]
    assert sheet.shape == (18 + 24 + 2, 3 * 42, 3) and sheet.dtype == np.uint8


def test_rows_of_different_length_and_size_share_a_sheet_and_columns_limit_them() -> None:
    sheet = contact_sheet([("one", clip(2)), ("two, é", clip(9, 24, 40)[0])], every=1, columns=3)
    assert sheet.shape == (18 + 12 + 2 + 18 + 24 + 2, 3 * 42, 3)
    assert shades(sheet, 18 + 6, 22, 3) == [40, 44, 48]


def test_a_label_is_drawn_above_its_row() -> None:
    bare, labelled = (contact_sheet([(text, clip(2))], every=1) for text in ("", "run forward"))
    assert (bare[:18] == 24).all() and labelled[:18].max() > 200
    np.testing.assert_array_equal(bare[18:], labelled[18:])


def test_nothing_to_show_is_refused() -> None:
    for rows in ([], [("a", np.zeros((0, 4, 8, 8, 3), np.uint8))], [("a", np.zeros((4, 8, 8, 3), np.float32))]):
        with pytest.raises(ValueError):
            contact_sheet(rows)


def test_a_png_comes_back_exactly_or_the_old_one_stays(tmp_path: Path) -> None:
    sheet = contact_sheet([("a", clip(2))])
    save_png(tmp_path / "a.png", sheet)
    np.testing.assert_array_equal(np.asarray(Image.open(tmp_path / "a.png")), sheet)
    assert [path.name for path in tmp_path.iterdir()] == ["a.png"]
    with pytest.raises(StorageError, match="folder"):
        save_png(tmp_path / "no" / "a.png", sheet)
