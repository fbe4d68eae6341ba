"""The page while things happen to it: chunks stream, tabs multiply, the server dies, the model fails, the disk is full."""

from __future__ import annotations

import sys

import pytest
from playwright.sync_api import expect

from tests.end_to_end.driver import Seat
from tests.end_to_end.kills import SECONDS_PER_CHUNK
from tests.end_to_end.long_project import make_long_project
from tests.end_to_end.server import Server

LONG_S = 120  # the longest there is: still going on when it is stopped
TEXT = "run forward, turn left 15, fire, then walk back to the gate and wait there for a while, " * 3
LONGER_THAN = "(count) => document.querySelector('#tv2tv-root').__tv2tv.store.state.path.length > count"


@pytest.fixture
def project(studio: Server):
    """A new project of the shared studio; whatever it still does at the end is stopped."""
    made = studio.new_project()
    yield made
    studio.post(f"p/{made}/stop")


def clean(*seats: Seat, refused: bool = False) -> None:
    """No errors in the console, no request to elsewhere; `refused`: answers that refuse are part of the story."""
    for seat in seats:
        assert seat.complaints + seat.left + ([] if refused else seat.refusals) == []


def goes_on(seat: Seat) -> None:
    """Continue brings new chunks behind those that are there."""
    made = seat.length()
    seat.press("Continue")
    expect(seat.chunk(made + 1)).to_be_visible()
    seat.press("Stop")
    seat.job("idle")


def test_typing_loses_nothing_while_chunks_arrive(seats, studio: Server, project: str):
    """Neither the line of a chunk that is there nor that of the one which comes next."""
    seat: Seat = seats(studio).open(project)
    seat.generate(2 * SECONDS_PER_CHUNK)
    seat.has_chunks(2)
    seat.job("idle")
    seat.choose(1)
    chosen = seat.page.get_by_role("heading", name="Chunk 1", exact=True)
    expect(chosen).to_be_visible()
    seat.generate(LONG_S)
    for text in (TEXT[:100], TEXT[50:150]):
        seat.line.fill("")
        seat.line.press_sequentially(text[:50], delay=10)
        seat.page.wait_for_function(LONGER_THAN, arg=seat.length() + 2)
        seat.page.keyboard.type(text[50:])  # into whatever has the focus now
        expect(seat.line).to_be_focused()
        expect(seat.line).to_have_value(text)
        seat.page.evaluate("document.querySelector('#tv2tv-root').__tv2tv.store.set({ selected: null })")
        expect(chosen).to_be_hidden()  # what is typed before is chunk 1's
    clean(seat)


def test_two_browsers_see_and_edit_the_same(seats, studio: Server, project: str):
    one, two = (seats(studio).open(project) for _ in range(2))
    one.generate(LONG_S)
    expect(two.chunk(3)).to_be_visible()
    two.press("Pause")
    for seat in (one, two):
        seat.job("paused")
    made = one.length()
    assert made == two.length()
    newest = [seat.chunk(made).get_by_role("img", include_hidden=True).first for seat in (one, two)]  # always in view
    expect(newest[1]).to_have_attribute("src", newest[0].get_attribute("src") or "")
    one.press("Stop")
    two.job("idle")
    for seat in (one, two):
        seat.choose(made)
        seat.page.keyboard.press("t")  # both rewrite at once: two new takes, none lost
    for seat in (one, two):
        seat.show("Takes")
        expect(seat.takes.get_by_role("listitem")).to_have_count(3)
    two.takes.get_by_role("button", name="Take 1,").click()
    one.job("idle")
    two.press("Delete Take 1")
    for seat in (one, two):
        expect(seat.takes.get_by_role("listitem")).to_have_count(2)
        expect(seat.takes.get_by_role("button", name="Take 1,")).to_have_count(0)
        seat.has_chunks(made)
    last = [seat.chunk(made).get_by_role("img").first.get_attribute("src") for seat in (one, two)]
    assert last[0] == last[1]
    clean(one, two)


def test_more_tabs_than_a_browser_has_connections_stay_live(seats, studio: Server, project: str):
    first: Seat = seats(studio).open(project)
    tabs = [first, *(first.another_tab().open(project) for _ in range(6))]  # Chromium opens six to one host
    tabs[4].generate(9 * SECONDS_PER_CHUNK)
    for tab in tabs:
        tab.has_chunks(9)
        tab.job("idle")
    assert all(tab.pictures(9) == first.pictures(9) for tab in tabs[1:])
    clean(first)


def test_it_goes_on_without_any_page(seats, studio: Server, project: str):
    seat: Seat = seats(studio).open(project)
    seat.generate(20 * SECONDS_PER_CHUNK)
    expect(seat.chunk(1)).to_be_visible()
    seat.page.goto("about:blank")
    studio.settle(project)
    seat.open()  # the browser remembers which project it was
    assert seat.project == project
    seat.has_chunks(20)
    clean(seat)


def test_projects_wait_for_the_device_in_turn(seats, studio: Server, project: str):
    first: Seat = seats(studio).open(project)
    second: Seat = seats(studio).open(studio.new_project())
    first.generate(LONG_S)
    first.job("running")
    second.generate(2 * SECONDS_PER_CHUNK)
    second.job("loading")  # tools see a wait for the device as loading
    expect(second.page.get_by_text("Waiting for the device").first).to_be_visible()
    second.press("Queue, 2 projects")
    expect(second.page.get_by_role("group", name="Queue").get_by_role("listitem")).to_have_count(2)
    second.page.keyboard.press("Escape")
    first.press("Stop")
    second.job("idle")
    second.has_chunks(2)
    clean(first, second)


def test_driving_writes_what_is_held(seats, studio: Server, project: str):
    seat: Seat = seats(studio).open(project)
    seat.page.keyboard.press("d")
    seat.job("running")
    expect(seat.button("Leave drive mode")).to_be_visible()  # from now on it listens: a held key of ours does not repeat
    seat.page.keyboard.down("w")
    seat.page.keyboard.down("ArrowLeft")
    driven = seat.timeline.locator("[title^='run forward, turn left']").and_(seat.timeline.get_by_role("listitem"))
    expect(driven.nth(1)).to_be_visible()
    seat.page.keyboard.up("w")
    seat.page.keyboard.up("ArrowLeft")
    expect(seat.timeline.locator("[title='stand']").and_(seat.timeline.get_by_role("listitem")).first).to_be_visible()
    seat.page.keyboard.press("Escape")
    seat.job("idle")
    clean(seat)


def test_a_killed_server_comes_back_under_the_open_page(seats, serve):
    server: Server = serve("--delay", "0.02")
    seat: Seat = seats(server).open(server.new_project(steps=4))
    seat.generate(LONG_S)
    expect(seat.chunk(3)).to_be_visible()
    seat.choose(2)
    seat.line.fill("stand, fire")
    server.kill()
    lost = seat.page.get_by_text("Connection lost; trying again")
    expect(lost).to_be_visible()
    before = seat.pictures(3)
    server.start()
    expect(lost).to_be_hidden()
    seat.job("paused")
    assert seat.pictures(3) == before
    expect(seat.line).to_have_value("stand, fire")
    goes_on(seat)
    clean(seat, refused=True)


def test_a_model_that_fails_in_mid_chunk_is_told_and_can_go_on(seats, serve):
    server: Server = serve("--delay", "0.01", "--fail-at", "3", "2")
    seat: Seat = seats(server).open(server.new_project(steps=2))
    seat.generate(8 * SECONDS_PER_CHUNK)
    seat.job("failed")
    alert = seat.page.get_by_role("alert").filter(has_text="Generation stopped")
    expect(alert).to_be_visible()
    assert len(alert.inner_text().split("\n")[-1]) > 20, "no words for people"
    seat.has_chunks(3)
    seat.press("Continue")  # the same again: it fails again, and nothing is lost
    seat.job("failed")
    seat.has_chunks(3)
    seat.press("Project")
    seat.page.get_by_role("menuitem", name="Settings").click()
    seat.dialog("Settings").get_by_role("textbox", name="Steps").fill("1")
    seat.dialog("Settings").get_by_role("button", name="Save").click()
    seat.press("Continue")
    seat.job("idle")
    seat.has_chunks(8)
    expect(alert).to_be_hidden()
    clean(seat)


@pytest.mark.skipif(not sys.platform.startswith("linux"), reason="a file's size can be limited from outside on Linux only")
def test_a_full_disk_is_told_and_costs_nothing(seats, serve):
    server: Server = serve("--delay", "0.01")
    seat: Seat = seats(server).open(server.new_project(steps=2))
    seat.generate(LONG_S)
    expect(seat.chunk(3)).to_be_visible()
    server.limit_files(max(file.stat().st_size for file in server.projects.iterdir() if file.is_file()))
    seat.job("failed")
    alert = seat.page.get_by_role("alert").filter(has_text="Generation stopped")
    expect(alert).to_contain_text("disk")
    made = seat.length()
    seat.page.reload()
    seat.ready()
    seat.has_chunks(made)
    server.limit_files(None)
    goes_on(seat)
    clean(seat, refused=True)


def test_a_long_project_opens_and_keeps_the_page_small(seats, studio: Server):
    seat: Seat = seats(studio).open(make_long_project(studio.projects, 2600))
    seat.has_chunks(2600)
    items = seat.timeline.get_by_role("listitem")
    assert items.count() < 60
    position = seat.page.get_by_role("slider", name="Position")
    for share in (2, 5, 9):
        position.fill(str(10_400 * share // 10))
        seat.page.keyboard.press("ArrowRight")
        expect(seat.timeline.get_by_role("listitem").and_(seat.page.locator("[aria-current=true]"))).to_be_visible()
        assert items.count() < 60
    seat.press("Fit the whole clip")
    expect(seat.chunk(1)).to_be_visible()
    assert items.count() < 200
    seat.page.keyboard.press("End")
    seat.page.keyboard.press("e")
    expect(seat.page.get_by_role("heading", name="Chunk 2600")).to_be_visible()
    clean(seat)
