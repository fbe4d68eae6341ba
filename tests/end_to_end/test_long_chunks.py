"""Chunks of many large frames, as pretrained models draw them: few pictures in the timeline, every frame within reach."""

from __future__ import annotations

import pytest
from playwright.sync_api import Browser, expect

from tests.end_to_end.driver import Seat
from tests.end_to_end.server import Server

FRAMES, FPS, CHUNKS = 81, 24, 3
SECONDS = CHUNKS * FRAMES / FPS
WIDE = {"width": 1440, "height": 900}
STATE = "() => document.querySelector('[data-testid=studio]').parentElement.__tv2tv.store.state.frame"
HELD = """async (count) => {
  const { FrameCache } = await import("/studio/static/frames.js");
  const cache = new FrameCache(() => {});
  const image = { naturalWidth: 1280, naturalHeight: 704 };
  for (let k = 0; k < count; k++) cache.keep(`/${k}.png`, image);
  const kept = [...cache.ready.keys()];
  cache.want(Array.from({ length: count }, (_, k) => `data:,${k}`));
  return [kept.length, kept.at(-1), cache.wanted.length + cache.loading.size];
}"""


@pytest.fixture(scope="module")
def server(tmp_path_factory: pytest.TempPathFactory):
    """A studio whose stand-in model draws long chunks."""
    flags = ["--chunk-frames", str(FRAMES), "--fps", str(FPS), "--width", "208", "--height", "120"]
    one = Server(tmp_path_factory.mktemp("long") / "projects", *flags)
    yield one
    one.stop()


@pytest.fixture(scope="module")
def project(server: Server) -> str:
    """A project of three long chunks, at which every test only looks."""
    made = server.new_project(steps=1)
    server.post(f"p/{made}/generate", {"seconds": SECONDS})
    server.settle(made)
    return made


@pytest.fixture(scope="module")
def seat(browser: Browser, server: Server, project: str):
    """A page at that project."""
    one = Seat(browser, server, size=WIDE).open(project)
    yield one
    one.close()


def frame(seat: Seat) -> int:
    return seat.page.evaluate(STATE)


def names(seat: Seat, number: int) -> list[int]:
    """Which frames of a chunk its cell shows."""
    images = seat.chunk(number).get_by_role("img").all()
    return [int(image.get_attribute("src").rsplit("/", 1)[1].removesuffix(".png")) for image in images]


def test_the_timeline_asks_for_a_few_frames_of_each_chunk(seats, server: Server, project: str):
    seat: Seat = seats(server, size=WIDE)
    asked: set[str] = set()
    seat.page.on("request", lambda request: asked.add(request.url) if "/c/" in request.url else None)
    seat.open(project)
    expect(seat.chunk(CHUNKS).get_by_role("img")).to_have_count(4)
    seat.page.wait_for_load_state("networkidle")
    assert [names(seat, number) for number in (1, 2, 3)] == [[0, 20, 40, 60]] * 3
    # the four of each chunk, the first frames under the playhead, the start frame
    assert len(asked) <= 4 * CHUNKS + 8


def test_zoomed_in_a_chunk_shows_more_of_its_frames_and_its_seconds(seat: Seat):
    for _ in range(12):
        seat.page.keyboard.press("+")
    expect(seat.chunk(1).get_by_role("img")).to_have_count(8)
    assert names(seat, 1) == [0, 10, 20, 30, 40, 50, 60, 70]
    for code in ("00:01.0", "00:02.0", "00:03.0"):
        expect(seat.timeline.get_by_text(code, exact=True)).to_be_visible()
    box = seat.chunk(1).bounding_box()
    ruler = seat.timeline.get_by_text("00:01.0", exact=True).bounding_box()
    seat.page.mouse.click(box["x"] + box["width"] * (50 + 0.5) / FRAMES, ruler["y"] + ruler["height"] / 2)
    assert frame(seat) == 50
    for _ in range(16):
        seat.page.keyboard.press("-")
    expect(seat.chunk(1).get_by_role("img").first).to_be_visible()
    assert len(names(seat, 1)) <= 2


def test_every_frame_is_reached_by_keyboard_and_has_its_time(seat: Seat):
    page = seat.page
    place = page.get_by_role("group", name="Playing")
    expect(place).to_contain_text("00:10.1")  # 243 frames at 24 a second
    page.keyboard.press("Home")
    for _ in range(2):
        page.keyboard.press("ArrowRight")
    assert frame(seat) == FRAMES
    expect(place).to_contain_text("00:03.3")
    expect(place).to_contain_text("chunk 2 of 3")
    page.keyboard.press(",")
    expect(place).to_contain_text("chunk 1 of 3")
    assert frame(seat) == FRAMES - 1
    page.keyboard.press("End")
    assert frame(seat) == CHUNKS * FRAMES - 1
    expect(seat.page.get_by_role("img", name=f"Chunk 3, frame {FRAMES}")).to_be_visible()
    seat.choose(2)
    seat.show("Inspector")
    hold = page.get_by_role("combobox", name="Hold")
    expect(hold.locator("option")).to_have_text(["only this chunk", "6.8 s", "13.5 s", "27 s"])


def test_the_stage_keeps_no_more_frames_than_memory_allows(seat: Seat):
    kept, newest, wanted = seat.page.evaluate(HELD, 500)
    assert kept * 1280 * 704 * 4 < 200e6 and kept >= 24, "too many bytes, or not even a second"
    assert newest == "/499.png" and wanted <= kept
    assert seat.complaints + seat.refusals + seat.left == []
