"""What the page says of a job in each state, and what can be done next: no word is cut, nothing is out of reach."""

from __future__ import annotations

from itertools import pairwise

import pytest
from playwright.sync_api import expect

from tests.end_to_end.driver import PHONE, Seat
from tests.end_to_end.kills import SECONDS_PER_CHUNK
from tests.end_to_end.server import Server

TABLET = {"width": 1024, "height": 768}
CUT = "(node) => node.scrollWidth > node.clientWidth || node.scrollHeight > node.clientHeight"


@pytest.fixture
def slow(serve):
    """A studio in which a chunk takes a second, so that every state can be looked at."""
    return serve("--delay", "0.2")


def says(seat: Seat, *words: str) -> None:
    """The words beside the buttons of making hold all of `words`, and none of them is cut off."""
    told = seat.page.get_by_role("group", name="Making").get_by_title(words[0])
    for part in words:
        expect(told).to_contain_text(part)
    assert not told.evaluate(CUT), told.inner_text()


def test_words_are_whole_on_a_tablet_and_a_bridge_is_called_one(seats, slow: Server):
    project = slow.new_project(steps=1)
    seat: Seat = seats(slow, size=TABLET).open(project)
    seat.generate(2 * SECONDS_PER_CHUNK)
    seat.job("running")
    says(seat, "Generating", "of 2 chunks")
    seat.job("idle")
    path = slow.snapshot(project)["path"]
    slow.post(f"p/{project}/bridge", {"chunk": path[1]["id"], "target": path[0]["id"], "seconds": 3})
    seat.job("running")
    says(seat, "Bridging", "of 13 chunks")
    seat.press("Pause")
    seat.job("paused")
    says(seat, "Bridging paused", "Continue goes on")
    other = slow.new_project()
    slow.post(f"p/{other}/generate", {"seconds": 60})
    slow.settle(other, "running")
    seat.press("Continue")
    says(seat, "In the queue", "another project is on the device")


def test_a_failed_job_can_be_given_up(seats, serve):
    server: Server = serve("--fail-at", "1", "1")
    seat: Seat = seats(server, size=TABLET).open(server.new_project(steps=1))
    seat.generate(3)
    seat.job("failed")
    says(seat, "Failed", "1 of 13 chunks", "Continue tries again")
    seat.press("Stop")
    seat.job("idle")
    expect(seat.page.get_by_role("alert").filter(has_text="Generation stopped")).to_be_hidden()
    seat.has_chunks(1)
    assert server.snapshot(seat.project)["job"]["total"] == 0


def test_a_drive_that_failed_does_not_promise_to_go_on(seats, serve):
    server: Server = serve("--fail-at", "1", "1")
    seat: Seat = seats(server).open(server.new_project(steps=1))
    seat.page.keyboard.press("d")
    seat.job("failed")
    seat.page.keyboard.press("Escape")
    says(seat, "Driving failed", "1 chunk")
    expect(seat.button("Continue")).to_be_disabled()


def test_the_queue_names_its_projects_on_a_phone(seats, slow: Server):
    project, other = slow.new_project(), slow.new_project()
    slow.post(f"p/{other}/rename", {"name": "The long way round the blue basin and back"})
    for one in (other, project):
        slow.post(f"p/{one}/generate", {"seconds": 60})
    seat: Seat = seats(slow, size=PHONE).open(project)
    seat.press("Queue, 2 projects")
    items = seat.page.get_by_role("group", name="Queue").get_by_role("listitem")
    expect(items).to_have_count(2)
    name = items.nth(0).get_by_text("The long way round the blue basin and back")
    expect(name).to_be_visible()
    assert not name.evaluate(CUT)
    expect(items.nth(1)).to_have_attribute("aria-current", "true")
    places = [button.bounding_box() for button in items.get_by_role("button").all()]
    assert all(place["width"] >= 40 and place["height"] >= 40 for place in places)
    assert [place["x"] for place in places[:3]] == [place["x"] for place in places[3:]], "columns"
    assert seat.overflows() == ""


def test_a_suggestion_is_asked_for_with_what_is_typed_as_an_intent(seats, studio: Server):
    seat: Seat = seats(studio).open(studio.new_project())
    field = seat.page.get_by_role("textbox", name="Intent (optional)")
    for typed, told in ((None, {"index": 0}), ("turn  left ", {"index": 0, "intent": "turn left"})):
        if typed:
            field.fill(typed)
        with seat.page.expect_request("**/suggest") as sent:
            seat.press("Suggest")
        assert sent.value.post_data_json == told
    expect(field).to_have_value("turn  left ")


def test_no_two_time_codes_beside_each_other_are_the_same(seats, studio: Server):
    project = studio.new_project(steps=1)
    seat: Seat = seats(studio).open(project)
    seat.generate(8 * SECONDS_PER_CHUNK)
    seat.has_chunks(8)
    seat.job("idle")
    codes = seat.timeline.locator(".tick.named").evaluate_all(
        "(all) => all.sort((a, b) => a.getBoundingClientRect().x - b.getBoundingClientRect().x).map((one) => one.textContent)"
    )
    assert len(codes) > 8 and all(one != two for one, two in pairwise(codes)), codes
