"""Slow motion and fast, as a person meets them: on the stage for looking only, in the export dialog for a file."""

from __future__ import annotations

import json
import re
from pathlib import Path

import pytest
from playwright.sync_api import expect

from tests.end_to_end.driver import Seat
from tests.end_to_end.server import Server
from tv2tv_core.media.video import count_frames, read_metadata

NUMBER = {"½×": 0.5, "4×": 4}
PLACES = """() => {
  const slider = document.querySelector("input[aria-label=Position]");
  const { get, set } = Object.getOwnPropertyDescriptor(HTMLInputElement.prototype, "value");
  window.places = [];
  Object.defineProperty(slider, "value", { get, set(value) { places.push(Number(value)); set.call(this, value); } });
}"""


def looking(seat: Seat, server: Server) -> Seat:
    """A seat at a fresh clip of two chunks."""
    project = server.new_project(steps=1)
    server.post(f"p/{project}/generate", {"seconds": 8 / 17.5})
    server.settle(project)
    return seat.open(project)


def test_slow_playing_shows_smoothed_frames_and_is_remembered(studio: Server, seats):
    seat = looking(seats(studio), studio)
    speed = seat.page.get_by_role("combobox", name="Speed")
    for value in ("0.5", "0.25", "0.25"):
        seat.page.keyboard.press("<")
        expect(speed).to_have_value(value)
    seat.page.keyboard.press("s")
    expect(seat.page.get_by_role("button", name="Smooth", exact=True)).to_have_attribute("aria-pressed", "true")
    expect(seat.page.locator(".preview-hint")).to_be_hidden()
    seat.page.keyboard.press("Home")
    expect(seat.page.get_by_role("slider", name="Position")).to_have_value("-1")
    seat.page.evaluate(PLACES)
    seat.page.keyboard.press(" ")
    expect(seat.page.get_by_role("slider", name="Position")).to_have_value("7")
    shown = seat.page.evaluate("places")
    assert shown == sorted(shown) and any(place % 1 == 0.5 for place in shown)
    seat.page.reload()
    seat.ready()
    expect(speed).to_have_value("0.25")
    seat.page.keyboard.press(">")
    expect(speed).to_have_value("0.5")
    assert not seat.complaints and not seat.refusals


@pytest.mark.parametrize(("speed", "smooth", "frames", "rate"), [("½×", "35", 29, 35), ("4×", "17.5", 2, 17.5)])
def test_an_export_at_a_speed_is_what_the_dialog_said(
    studio: Server, seats, tmp_path: Path, speed: str, smooth: str, frames: int, rate: float
):
    seat = looking(seats(studio), studio)
    seat.press("Export")
    dialog = seat.dialog("Export")
    for group, value in (("Speed", speed), ("Smooth", smooth)):
        dialog.get_by_role("group", name=re.compile(group)).get_by_role("radio", name=value, exact=True).check()
    said = dialog.locator("output.export-result").inner_text()
    assert said.startswith(f"{frames / rate:.1f} s · {rate} frames a second · {frames} frames"), said
    dialog.get_by_role("button", name="Export", exact=True).click()
    with seat.page.expect_download() as download:
        dialog.get_by_role("link", name=re.compile("Download .*mp4")).click()
    download.value.save_as(tmp_path / "a.mp4")
    assert count_frames(tmp_path / "a.mp4") == frames
    done = json.loads(read_metadata(tmp_path / "a.mp4")["comment"])["delivery"]
    assert (done["frames"], done["fps"], done["speed"]) == (frames, rate, NUMBER[speed])
    assert not seat.complaints and not seat.refusals
