"""Hasty hands: double clicks, keys pressed in the wrong panel, a line typed in the moment before Generate, a wrong address."""

from __future__ import annotations

import re

import pytest
from playwright.sync_api import expect

from tests.end_to_end.driver import Seat
from tests.end_to_end.server import Server

CHUNKS = 4
SECONDS = CHUNKS * 4 / 17.5


@pytest.fixture
def seat(seats, studio: Server):
    project = studio.new_project()
    yield seats(studio).open(project)
    studio.post(f"p/{project}/stop")


def made(seat: Seat) -> Seat:
    seat.generate(SECONDS)
    seat.has_chunks(CHUNKS)
    seat.job("idle")
    return seat


def test_a_shortcut_of_the_inspector_works_from_the_other_tab(seat: Seat):
    made(seat).choose(2)
    seat.show("Takes")
    seat.page.keyboard.press("t")
    expect(seat.line).to_be_visible()
    seat.show("Takes")
    expect(seat.takes.get_by_text("Take 2")).to_be_visible()


@pytest.mark.parametrize("field", ["Plan line", "Intent (optional)"])
def test_what_is_typed_ahead_stays_when_a_new_take_begins(seat: Seat, studio: Server, field: str):
    """The server may take its time to begin the take; who types meanwhile keeps the place, the words and the focus."""
    made(seat).choose(1)
    held = []
    seat.page.route("**/regenerate", lambda route: held.append(route))
    with seat.page.expect_request("**/regenerate"):
        seat.press("Regenerate from here")
    seat.timeline.get_by_role("button", name="Next: chunk").click()
    expect(seat.page.get_by_role("heading", name=f"Chunk {CHUNKS + 1}")).to_be_visible()  # what is typed before is chunk 1's
    box = seat.page.get_by_role("textbox", name=field)
    box.press_sequentially("run forward,")
    held.pop().continue_()
    seat.has_takes(2)
    seat.page.keyboard.type(" turn left")  # into whatever has the focus now
    expect(box).to_have_value("run forward, turn left")
    expect(seat.page.get_by_role("heading", name=f"Chunk {CHUNKS + 1}")).to_be_visible()
    seat.press("Set this line")
    expect(seat.page.get_by_text("edited", exact=True)).to_be_hidden()
    seat.has_chunks(CHUNKS)
    planned = studio.settle(seat.project)["planned"]
    assert list(planned) == [str(CHUNKS)] and planned[str(CHUNKS)].endswith("run forward, turn left")


def test_a_clip_that_comes_to_its_end_leaves_who_types_alone(seat: Seat):
    made(seat).choose(1)
    seat.line.fill("run forward,")
    seat.button("Play").evaluate("(button) => button.click()")  # as by a tool: the focus stays where it is
    expect(seat.page.get_by_role("slider", name="Position")).to_have_value(str(4 * CHUNKS - 1))
    expect(seat.button("Play")).to_have_attribute("aria-pressed", "false")
    seat.page.keyboard.type(" turn left")
    expect(seat.line).to_have_value("run forward, turn left")
    expect(seat.chunk(1)).to_have_attribute("aria-current", "true")


def test_a_double_click_is_one_wish(seat: Seat):
    made(seat).choose(2)
    seat.button("Regenerate from here").dblclick()
    seat.has_takes(2)
    seat.has_chunks(CHUNKS)
    seat.job("idle")
    seat.button("Generate").dblclick()
    seat.has_chunks(2 * CHUNKS)
    seat.job("idle")
    assert seat.takes_made() == 2
    assert "already being generated" not in seat.messages.inner_text()


def test_a_line_typed_just_before_generate_is_for_the_first_chunk(seat: Seat):
    for turn in range(3):
        first = turn * CHUNKS
        seat.line.fill(f"run forward, turn left {5 + 5 * turn}")
        seat.generate(SECONDS)
        seat.has_chunks(first + CHUNKS)
        seat.job("idle")
        plan = seat.page.evaluate(f"document.querySelector('#tv2tv-root').__tv2tv.store.state.path[{first}].plan")
        assert plan == f"run forward, turn left {5 + 5 * turn}"
        seat.page.evaluate("document.querySelector('#tv2tv-root').__tv2tv.store.set({ selected: null })")


def test_an_address_of_nothing_leads_to_a_new_project(seats, studio: Server):
    seat: Seat = seats(studio)
    for address in ("..%2f..%2fetc", "<img src=x>", "0123456789abcdef", "x" * 3000):
        seat.page.goto(f"{studio.url}/favicon.ico")
        seat.page.evaluate("localStorage.clear()")  # a browser that remembers no project
        seat.page.goto(f"{studio.url}/#p={address}")
        expect(seat.page).to_have_url(re.compile(r"#p=[0-9a-f]{16}$"))
        seat.ready()
        assert seat.project != "0123456789abcdef" and seat.complaints == [], address
