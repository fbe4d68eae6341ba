"""The whole story on the model that ships: think, act, pause, rewrite, regenerate, compare, undo, export, bring back."""

from __future__ import annotations

from pathlib import Path

import av
from playwright.sync_api import expect

from tests.end_to_end.driver import Seat
from tests.end_to_end.server import Server

SECONDS, CHUNKS = 3, 13
WIDE = {"width": 1920, "height": 1080}  # so that every chunk of the clip is in the page
LINE = "stand, turn left 45, fire"


def first_take(seat: Seat, server: Server) -> tuple[list[list[str]], dict[str, bytes]]:
    """Open, Generate, Pause at a boundary; the addresses of the frames by chunk, and the bytes by address."""
    seat.open()
    expect(seat.page.get_by_text("Press Generate:")).to_be_visible()
    assert seat.length() == 0
    seat.generate(SECONDS)
    expect(seat.chunk(2)).to_be_visible()
    seat.press("Pause")
    seat.job("paused")
    made = seat.length()
    assert 2 <= made < CHUNKS
    shown = seat.pictures(made)
    assert len({url for urls in shown for url in urls}) == 4 * made
    return shown, {url: server.get(url) for urls in shown for url in urls}


def rewrite(seat: Seat, number: int) -> None:
    """Rewrite a chunk's line, regenerate from there, reload in the middle: the page is attached again and it goes on."""
    seat.choose(number)
    expect(seat.line).not_to_have_value("")
    seat.line.fill(LINE)
    seat.press("Regenerate from here")
    seat.job("running")
    expect(seat.chunk(number + 1)).to_be_visible()
    seat.page.reload()
    seat.ready()
    assert seat.job("running", "idle") == "running", "it was over before the reload"
    seat.job("idle")
    seat.has_chunks(CHUNKS)
    seat.choose(number)
    expect(seat.line).to_have_value(LINE)


def compare(seat: Seat, one: list[list[str]], two: list[list[str]]) -> None:
    """Both takes are there: switch to and fro, then see them side by side."""
    seat.show("Takes")
    expect(seat.takes.get_by_role("listitem")).to_have_count(2)
    seat.takes.get_by_role("button", name="Take 1,").click()
    seat.has_chunks(len(one))
    assert seat.pictures(len(one)) == one
    seat.takes.get_by_role("button", name="Take 2,").click()
    seat.has_chunks(len(two))
    assert seat.pictures(len(two)) == two
    seat.press("Compare Take 1")
    beside = seat.page.get_by_role("region", name="Compare takes")
    expect(beside.get_by_role("img", name="Take 1, ")).to_be_visible()
    expect(beside.get_by_role("img", name="Take 2, ")).to_be_visible()
    seat.press("Close comparison")
    expect(beside).to_be_hidden()


def undo_and_redo(seat: Seat, one: list[list[str]], two: list[list[str]]) -> None:
    """Back over both switches and the rewriting, and forth again."""
    for path in (one, two, one):
        seat.press("Undo")
        seat.has_chunks(len(path))
    expect(seat.takes.get_by_role("listitem")).to_have_count(1)
    assert seat.pictures(len(one)) == one
    for path in (two, one, two):
        seat.press("Redo")
        seat.has_chunks(len(path))
    expect(seat.button("Redo")).to_be_disabled()
    assert seat.pictures(len(two)) == two


def export(seat: Seat, folder: Path) -> Path:
    """Export the shown take as MP4 and download it; checked frame by frame."""
    seat.press("Export")
    dialog = seat.dialog("Export")
    dialog.get_by_role("radio", name="MP4 video").check()
    dialog.get_by_role("button", name="Export", exact=True).click()
    path = seat.download(dialog.get_by_role("link", name="Download"), folder)
    dialog.get_by_role("button", name="Close").first.click()
    with av.open(str(path)) as video:
        stream = video.streams.video[0]
        assert stream.codec_context.name == "h264" and stream.codec_context.pix_fmt == "yuv420p"
        sizes = {(frame.width, frame.height) for frame in video.decode(stream)}
        video.seek(0)
        assert sum(1 for _ in video.decode(stream)) == 4 * CHUNKS
    assert sizes == {(640, 384)}
    return path


def bring_back(seat: Seat, clip: Path, lines: list[str]) -> None:
    """Drop the clip onto the page: a new project with its plan and without a frame."""
    before = seat.project
    seat.drop(clip.name, clip.read_bytes(), "video/mp4")
    expect(seat.messages).to_contain_text(f"The plan of {CHUNKS} chunks is back")
    seat.page.wait_for_url(lambda url: before not in url)
    seat.show("Inspector")
    expect(seat.line).to_have_value(lines[0])
    assert seat.length() == 0
    expect(seat.timeline.get_by_text(LINE, exact=True).first).to_be_visible()


def test_the_whole_story(seats, serve, tmp_path: Path):
    server = serve(fake=False)
    seat: Seat = seats(server, size=WIDE)
    one, seen = first_take(seat, server)
    rewrite(seat, 2)
    two = seat.pictures(CHUNKS)
    assert two[0] == one[0], "the chunk before the rewritten one is another one"
    assert not {url for urls in two[1:] for url in urls} & set(seen)
    assert {url: server.get(url) for url in seen} == seen
    assert {server.get(url) for urls in two[1:] for url in urls}.isdisjoint(seen.values())
    lines = [chunk["plan"] for chunk in server.snapshot(seat.project)["path"]]
    assert lines[1] == LINE
    compare(seat, one, two)
    undo_and_redo(seat, one, two)
    bring_back(seat, export(seat, tmp_path), lines)
    assert seat.complaints + seat.refusals + seat.left == []
