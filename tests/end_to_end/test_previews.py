"""Smooth and Sharpen on the stage, and exports that are cancelled, as a person meets them."""

from __future__ import annotations

import re
import time

import pytest
from playwright.sync_api import Locator, expect

from tests.end_to_end.driver import Seat
from tests.end_to_end.server import PATIENCE_S, Server


@pytest.fixture(scope="module")
def quick(tmp_path_factory: pytest.TempPathFactory):
    """A studio with the quickest stand-in model, whose files are for these tests alone."""
    server = Server(tmp_path_factory.mktemp("previews") / "projects")
    yield server
    server.stop()


def looking(seat: Seat, server: Server, chunks: int = 2) -> Seat:
    """A seat at a fresh clip."""
    project = server.new_project(steps=1)
    server.post(f"p/{project}/generate", {"seconds": chunks * 4 / 17.5})
    server.settle(project)
    return seat.open(project)


def look(seat: Seat, name: str) -> Locator:
    """One of the two buttons."""
    return seat.page.get_by_role("button", name=name, exact=True)


def switch(seat: Seat, name: str, on: bool) -> None:
    """Press one of them and wait until the studio says so."""
    look(seat, name).click()
    expect(look(seat, name)).to_have_attribute("aria-pressed", str(on).lower())


def whole(seat: Seat) -> None:
    """Wait until every preview of the shown take is there."""
    expect(seat.page.locator(".preview-hint")).to_be_hidden()


def at(seat: Seat, frame: float) -> None:
    """Wait until the playhead is there."""
    expect(seat.page.get_by_role("slider", name="Position")).to_have_value(f"{frame:g}")


def test_smoothed_frames_are_stepped_one_by_one_and_none_is_missing(studio: Server, seats):
    seat = looking(seats(studio), studio)
    asked: list[str] = []
    seat.page.on("request", lambda request: asked.append(request.url))
    seat.page.keyboard.press("s")
    expect(look(seat, "Smooth")).to_have_attribute("aria-pressed", "true")
    whole(seat)
    seat.page.keyboard.press("Home")
    at(seat, -1)
    for place in range(15):
        seat.page.keyboard.press(".")
        at(seat, place / 2)
    seat.page.wait_for_load_state("networkidle")
    between = {re.search(r"preview/.*", url)[0] for url in asked if "/preview/" in url and url.endswith(".jpg")}
    assert len(between) == 7  # frames that are only smoothed stay themselves
    seat.page.keyboard.press(",")
    at(seat, 6.5)
    seat.page.keyboard.press("s")
    expect(look(seat, "Smooth")).to_have_attribute("aria-pressed", "false")
    at(seat, 6)
    assert not seat.complaints and not seat.refusals


def test_both_windows_show_it_and_new_chunks_follow(studio: Server, seats):
    seat = looking(seats(studio), studio)
    other = seat.another_tab().open(seat.project)
    shown: set[str] = set()
    other.page.on("response", lambda answer: shown.add(answer.url) if "/preview/1x4-" in answer.url and answer.ok else None)
    switch(seat, "Sharpen", True)
    expect(look(other, "Sharpen")).to_have_attribute("aria-pressed", "true")
    whole(seat)
    studio.post(f"p/{seat.project}/generate", {"seconds": 0.5})
    seat.has_chunks(4)
    whole(other)
    for frame in range(16):
        other.page.get_by_role("slider", name="Position").fill(str(frame))
        at(other, frame)
    other.page.wait_for_load_state("networkidle")
    assert len(shown) == 16
    switch(other, "Sharpen", False)
    expect(look(seat, "Sharpen")).to_have_attribute("aria-pressed", "false")
    assert not seat.complaints and not seat.refusals


def test_a_damaged_preview_is_told_and_the_stage_goes_on(quick: Server, seats):
    seat = looking(seats(quick), quick, 2)
    switch(seat, "Sharpen", True)
    whole(seat)
    switch(seat, "Sharpen", False)
    files = list((quick.projects / ".previews").rglob("*.zip"))
    for file in files:
        file.write_bytes(b"nothing of a preview")
    other = seats(quick).open(seat.project)  # a browser that remembers no picture
    other.page.keyboard.press("End")
    switch(other, "Sharpen", True)
    expect(other.page.get_by_text("A preview was damaged")).to_be_visible()
    whole(other)
    until = time.monotonic() + PATIENCE_S
    while not any(file.exists() and file.read_bytes()[:2] == b"PK" for file in files):
        assert time.monotonic() < until
        time.sleep(0.05)
    assert not other.complaints


def test_an_export_is_cancelled_from_the_page(quick: Server, seats):
    seat = looking(seats(quick), quick, 60)
    seat.press("Export")
    dialog = seat.dialog("Export")
    for group, value in (("Smooth", "70"), ("Sharpen", "4×")):
        dialog.get_by_role("group", name=re.compile(group)).get_by_role("radio", name=value, exact=True).check()
    dialog.get_by_role("button", name="Export", exact=True).click()
    cancel = dialog.get_by_role("button", name="Cancel the export")
    cancel.click()
    files = dialog.get_by_role("list", name="Exported files")
    expect(files.get_by_text("cancelled")).to_be_visible()
    expect(cancel).to_be_hidden()
    expect(dialog.get_by_role("button", name="Export", exact=True)).to_be_focused()
    assert not list((quick.projects / ".exports").rglob("*.*"))
    assert not seat.complaints and not seat.refusals
