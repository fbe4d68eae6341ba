"""Bridge to…: from the chosen chunk to a frame of a take or to a picture, as a person asks for it."""

from __future__ import annotations

import cv2
import numpy as np
from playwright.sync_api import expect

from tests.end_to_end.driver import Seat
from tests.end_to_end.server import Server


def looking(seat: Seat, server: Server) -> Seat:
    """A seat at a fresh clip of three chunks, at its takes."""
    project = server.new_project(steps=1)
    server.post(f"p/{project}/generate", {"seconds": 12 / 17.5})
    server.settle(project)
    seat.open(project)
    seat.has_chunks(3)
    return seat


def asked(seat: Seat):
    """The open dialog."""
    seat.show("Takes")
    seat.page.get_by_role("button", name="Bridge to…").click()
    return seat.dialog("Bridge to…")


def test_a_bridge_to_a_frame_is_a_new_take_from_the_chosen_chunk(studio: Server, seats):
    seat = looking(seats(studio), studio)
    first = studio.snapshot(seat.project)["path"][0]["id"]
    seat.choose(1)
    dialog = asked(seat)
    expect(dialog.get_by_text("after chunk 1 of “Take 1”")).to_be_visible()
    dialog.get_by_role("spinbutton", name="Chunk").fill("9")
    expect(dialog.get_by_text("Chunks of this take go from 1 to 3.")).to_be_visible()
    expect(dialog.get_by_role("button", name="Bridge", exact=True)).to_be_disabled()
    dialog.get_by_role("spinbutton", name="Chunk").fill("3")
    dialog.get_by_role("spinbutton", name="Seconds").fill("1")
    dialog.get_by_role("button", name="Bridge", exact=True).click()
    expect(dialog).to_be_hidden()
    expect(seat.takes.get_by_role("listitem")).to_have_count(2)
    seat.has_chunks(1 + 4)
    seat.job("idle")
    expect(seat.page.get_by_text("The bridge is done")).to_be_visible()
    path = studio.snapshot(seat.project)["path"]
    assert path[0]["id"] == first and {chunk["source"] for chunk in path[1:]} <= {"model", None}
    assert not seat.complaints and not seat.refusals


def test_a_bridge_to_a_picture_takes_any_that_the_browser_reads(studio: Server, seats, tmp_path):
    seat = looking(seats(studio), studio)
    dialog = asked(seat)
    dialog.get_by_role("radio", name="A picture").check()
    expect(dialog.get_by_role("button", name="Bridge", exact=True)).to_be_disabled()
    (tmp_path / "no.png").write_bytes(b"no picture")
    chooser = dialog.locator("input[type=file]")
    chooser.set_input_files(tmp_path / "no.png")
    expect(dialog.get_by_text("no picture that the browser can read")).to_be_visible()
    cv2.imwrite(str(tmp_path / "tall.png"), np.full((900, 300, 3), (40, 160, 90), np.uint8))
    chooser.set_input_files(tmp_path / "tall.png")
    dialog.get_by_role("spinbutton", name="Seconds").fill("0.5")
    dialog.get_by_role("button", name="Bridge", exact=True).click()
    expect(dialog).to_be_hidden()
    seat.has_chunks(3 + 2)
    seat.job("idle")
    assert not seat.complaints and not seat.refusals
