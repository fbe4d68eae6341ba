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


def number_of_takes(seat: Seat) -> int:
    return len(seat.page.evaluate("document.querySelector('#tv2tv-root').__tv2tv.store.state.takes"))


def test_a_shortcut_of_the_inspector_works_from_the_other_tab(seat: Seat):
    made(seat).choose(2)
    seat.show("Takes")
    seat.page.keyboard.press("t")
    seat.job("idle")
    expect(seat.line).to_be_visible()
    seat.show("Takes")
    expect(seat.takes.get_by_text("Take 2")).to_be_visible()


def test_a_double_click_is_one_wish(seat: Seat):
    made(seat).choose(2)
    seat.button("Regenerate from here").dblclick()
    seat.job("idle")
    seat.page.wait_for_function("() => document.querySelector('#tv2tv-root').__tv2tv.store.state.takes.length > 1")
    assert number_of_takes(seat) == 2
    seat.button("Generate").dblclick()
    seat.job("loading", "running", "idle")
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
