"""Intents: a person says what should happen next; it stands on the timeline, is asked again, and never meets a plan line."""

from __future__ import annotations

from playwright.sync_api import expect

from tests.end_to_end.driver import PHONE, Seat
from tests.end_to_end.server import Server

WISH = "turn right and go ahead, then shoot"


def field(seat: Seat):
    """The optional field."""
    return seat.page.get_by_role("textbox", name="Intent (optional)")


def test_an_intent_is_sent_with_generate_and_stands_on_the_timeline(studio: Server, seats):
    seat = seats(studio).open(studio.new_project(steps=1))
    expect(field(seat)).to_have_accessible_description("What should happen over the next seconds, in your words. "
                                                       "The model writes the plan lines from it.")  # fmt: skip
    field(seat).fill(WISH)
    seat.page.get_by_role("button", name="Generate", exact=True).click()
    seat.has_chunks(18)
    seat.job("idle")
    path = studio.snapshot(seat.project)["path"]
    assert [chunk["asked"] for chunk in path[:2]] == [f"intent: {WISH}", None] and path[0]["source"] == "model"
    expect(field(seat)).to_have_value("")
    seat.choose(1)
    expect(field(seat)).to_have_value(WISH)
    expect(seat.timeline.get_by_text(f"intent: {WISH} → {path[0]['plan']}")).to_be_attached()
    expect(seat.page.get_by_text("Written by the model from the intent")).to_be_visible()

    field(seat).fill("go back")
    seat.line.fill("run back")
    seat.page.get_by_role("button", name="Regenerate from here").click()
    expect(seat.page.get_by_text("Leave one of them out")).to_be_visible()
    seat.line.fill(path[0]["plan"])
    seat.regenerate()
    expect(seat.page.get_by_text("Leave one of them out")).to_be_hidden()
    again = studio.snapshot(seat.project)
    assert len(again["takes"]) == 2 and again["path"][0]["asked"] == "intent: go back"
    assert not seat.complaints and not seat.refusals


def test_an_intent_waits_for_its_chunk_and_can_be_cleared(studio: Server, seats):
    seat = seats(studio, size=PHONE).open(studio.new_project(steps=1))
    field(seat).fill(" crouch   and wait ")
    assert field(seat).bounding_box()["height"] >= 40
    seat.page.get_by_role("button", name="Set this line").click()
    expect(seat.page.get_by_text("The model writes the line from the intent")).to_be_visible()
    assert studio.snapshot(seat.project)["planned"] == {"0": "intent: crouch and wait"}
    expect(field(seat)).to_have_value("crouch and wait")
    seat.page.get_by_role("button", name="Clear line").click()
    expect(field(seat)).to_have_value("")
    assert studio.snapshot(seat.project)["planned"] == {}
    assert not seat.complaints and not seat.refusals
