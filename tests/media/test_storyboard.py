"""The storyboard sheet: every beat once, in order, on pages of one size, with room for what it says."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
from PIL import Image, PdfParser

from tests.media.clip_views import FPS, HOSTILE, clip_view
from tv2tv_core.media.clip_view import ClipChunk, ClipView
from tv2tv_core.media.export import ExportRequest, export
from tv2tv_core.media.storyboard import DPI, PAGE, page_count, pages


def coloured(count: int, line: str = "line") -> ClipView:
    """A clip whose beats have two chunks each; the pictures of a beat have one red of its own."""

    def frames(beat: int) -> np.ndarray:
        flat = np.zeros((4, 96, 160, 3), np.uint8)
        flat[..., 0], flat[..., 2] = 10 + beat, 200
        return flat

    chunks = [ClipChunk(k, f"{line} {k // 2}", "model", lambda k=k: frames(k // 2)) for k in range(2 * count)]
    return ClipView("A clip", FPS, 160, 96, 4, chunks, {"prompt": "a base"})


def reds(page: np.ndarray) -> list[int]:
    """The beats on a page in reading order, told by the colour of their pictures."""
    found = []
    pictures = (page[..., 1] == 0) & (page[..., 2] == 200)
    for red in np.unique(page[pictures][:, 0]):
        rows, columns = np.nonzero(pictures & (page[..., 0] == red))
        if len(rows) > 5000:
            assert len(rows) == (np.ptp(rows) + 1) * (np.ptp(columns) + 1)  # one whole rectangle
            found.append((int(rows[0]), int(columns.min()), int(red) - 10))
    return [beat for *_, beat in sorted(found)]


@pytest.mark.parametrize("count", [1, 2, 3, 6, 7, 12, 13, 40])
def test_every_beat_is_on_the_sheet_once_and_in_order(count: int) -> None:
    view = coloured(count)
    drawn = list(pages(view))
    assert len(drawn) == page_count(view)
    assert all(page.shape == (PAGE[1], PAGE[0], 3) and page.dtype == np.uint8 for page in drawn)
    assert [beat for page in drawn for beat in reds(page)] == list(range(count))


def test_long_lines_get_more_room() -> None:
    assert page_count(coloured(12)) == 1
    assert page_count(coloured(12, "run forward along the wall, then turn left and fire at the bot " * 3)) > 1


def test_text_stays_off_the_margins() -> None:
    for page in pages(clip_view(HOSTILE * 2, size=(160, 96), name="x" * 400)):
        inside = page[36:-36, 36:-36]
        assert inside.min() < 60
        assert page.astype(int).sum() - inside.astype(int).sum() == 255 * 3 * (page[..., 0].size - inside[..., 0].size)


def test_one_page_is_a_picture_and_many_are_a_document(tmp_path: Path) -> None:
    with Image.open(export(coloured(3), ExportRequest("sheet"), tmp_path / "a.png")) as image:
        assert image.format == "PNG" and image.size == PAGE
        assert image.info["dpi"] == pytest.approx((DPI, DPI), abs=0.1)
    view = coloured(30)
    export(view, ExportRequest("sheet"), tmp_path / "a.pdf")
    with PdfParser.PdfParser(tmp_path / "a.pdf") as found:
        assert len(found.pages) == page_count(view) == 3
        for reference in found.pages:
            box = found.read_indirect(reference)[b"MediaBox"]
            assert box == pytest.approx([0, 0, 842, 595], abs=0.5)  # A4 across, in points
