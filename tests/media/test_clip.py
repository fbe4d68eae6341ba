"""A clip from a request: files that agree with each other, and every bad request refused before the model loads."""

from __future__ import annotations

import json
from collections.abc import Callable
from dataclasses import replace
from fractions import Fraction
from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from tests.fakes import FakeBackend
from tv2tv_core.engine.backend import Backend
from tv2tv_core.engine.control import Control
from tv2tv_core.engine.events import ChunkDone, DenoisingStep, Finished
from tv2tv_core.errors import Cancelled, InputError, StorageError, TV2TVError
from tv2tv_core.media.clip import ClipRequest, ClipResult, chunk_count, make_clip
from tv2tv_core.media.clip_document import read_document
from tv2tv_core.media.video import count_frames, read_frames, read_metadata, write_mp4
from tv2tv_core.presets import Preset

PRESET = Preset("fake", "Fake", Path("none.safetensors"), {"steps": 2})


@pytest.fixture
def start(tmp_path: Path) -> str:
    path = tmp_path / "start.png"
    Image.fromarray(np.full((60, 80, 3), 120, np.uint8)).save(path)
    return str(path)


def make(tmp_path: Path, start: str, backend: FakeBackend | None = None, **options: object) -> ClipResult:
    request = ClipRequest(**({"preset": PRESET, "out": tmp_path / "out.mp4", "start": start} | options))
    return make_clip(request, load=lambda preset: backend or FakeBackend())


def not_loaded(preset: Preset) -> Backend:
    raise AssertionError("the model was loaded before the request was checked")


def refusal(request: ClipRequest, kind: type[TV2TVError] = InputError) -> str:
    with pytest.raises(kind) as caught:
        make_clip(request, load=not_loaded)
    text = str(caught.value)
    assert "\n" not in text and len(text) < 400
    return text


def test_four_seconds_are_seventy_frames_give_or_take_two(tmp_path: Path, start: str) -> None:
    result = make(tmp_path, start)
    assert abs(result.frames - 70) <= 2
    assert count_frames(result.out) == result.frames
    assert result.seconds == pytest.approx(result.frames / 17.5)


@pytest.mark.parametrize(("seconds", "chunks"), [(0.01, 1), (0.25, 1), (4.0, 18), (8.0, 35), (120.0, 525)])
def test_chunks_come_nearest_to_the_length(seconds: float, chunks: int) -> None:
    assert chunk_count(seconds, Fraction(35, 2), 4) == chunks


def test_the_json_tells_the_segments_in_order(tmp_path: Path, start: str) -> None:
    plan = tmp_path / "plan.txt"
    plan.write_text("run forward\n\nrun back\n", encoding="utf-8")
    events = []
    request = ClipRequest(PRESET, tmp_path / "out.mp4", start, "a base", plan, {"seed": 5, "seconds": None})
    result = make_clip(request, events.append, load=lambda preset: FakeBackend())
    told = json.loads(result.json_path.read_text(encoding="utf-8"))
    chunks = [segment for segment in told["segments"] if segment["type"] == "chunk"]
    assert [chunk["index"] for chunk in chunks] == [0, 1, 2]
    assert [chunk["start_s"] for chunk in chunks] == pytest.approx([0, 8 / 35, 16 / 35], abs=1e-6)
    assert [chunk["frames"] for chunk in chunks] == [4, 4, 4]
    made = [event.chunk.seed for event in events if isinstance(event, ChunkDone)]
    assert [chunk["seed"] for chunk in chunks] == made
    assert told["segments"][0] == {"type": "text", "text": "run forward", "source": "person"}
    assert told["segments"][-2] == {"type": "text", "text": "run back", "source": "person"}
    assert (told["preset"], told["seed"], told["fps"], told["size"]) == ("fake", 5, 17.5, [40, 24])
    assert told["model_hash"] == "0" * 64 and told["prompt"] == "a base" and told["frames"] == 12
    assert told["settings"]["steps"] == 2
    assert isinstance(events[-1], Finished)


def test_the_mp4_carries_the_request(tmp_path: Path, start: str) -> None:
    result = make(tmp_path, start, plan=["stand"])
    comment = json.loads(read_metadata(result.out)["comment"])
    assert comment == json.loads(result.json_path.read_text(encoding="utf-8"))


def test_the_same_request_gives_the_same_bytes_and_another_seed_does_not(tmp_path: Path, start: str) -> None:
    names = [("a", 1), ("b", 1), ("c", 2)]
    made = [make(tmp_path, start, out=tmp_path / f"{name}.mp4", settings={"seed": seed}) for name, seed in names]
    a, b, c = (result.out.read_bytes() for result in made)
    assert a == b != c
    assert made[0].json_path.read_bytes() == made[1].json_path.read_bytes()


def test_an_image_stands_still_for_one_chunk_and_a_video_gives_its_last_frames(tmp_path: Path, start: str) -> None:
    still = make(tmp_path, start, plan=["stand"]).history.chunks[0].frames
    assert (still == 120).all()
    numbers = np.arange(20, dtype=np.uint8).reshape(5, 4, 1, 1, 1) * 8
    video = tmp_path / "start.mp4"
    write_mp4(video, np.broadcast_to(numbers, (5, 4, 24, 40, 3)).copy(), Fraction(35, 2))
    first = make(tmp_path, str(video), plan=["stand"]).history.chunks[0].frames
    assert np.rint(first.mean(axis=(1, 2, 3)) / 8).astype(int).tolist() == [16, 17, 18, 19]


def test_the_start_chunk_is_not_in_the_file(tmp_path: Path, start: str) -> None:
    result = make(tmp_path, start, plan=["stand"] * 2)
    small = read_frames(result.out, 1)[0].astype(int)
    made = result.history.chunks[1].frames[0].repeat(4, axis=0).repeat(4, axis=1)
    assert np.abs(small - made).mean() < np.abs(small - 120).mean() / 2


def test_a_plan_alone_sets_the_length(tmp_path: Path, start: str) -> None:
    assert make(tmp_path, start, plan=["stand"]).frames == 4
    assert make(tmp_path, start, plan=["stand"] * 7).frames == 28
    assert make(tmp_path, start, plan=["stand"], settings={"seconds": 1.0}).frames == 16


def test_a_clip_that_the_model_ends_is_written_as_far_as_it_came(tmp_path: Path, start: str) -> None:
    result = make(tmp_path, start, FakeBackend(end_at=3))
    assert result.frames == count_frames(result.out) == 12
    with pytest.raises(TV2TVError, match="before its first frame"):
        make(tmp_path, start, FakeBackend(end_at=0))


def interrupt(error: BaseException) -> Callable[[object], None]:
    def on_event(event: object) -> None:
        if isinstance(event, DenoisingStep) and event.index == 2:
            raise error

    return on_event


def test_an_interrupted_clip_leaves_the_good_one_alone(tmp_path: Path, start: str) -> None:
    good = make(tmp_path, start)
    before = {path: path.read_bytes() for path in tmp_path.iterdir()}
    request = ClipRequest(PRESET, good.out, start, settings={"seed": 9})
    with pytest.raises(KeyboardInterrupt):
        make_clip(request, interrupt(KeyboardInterrupt()), load=lambda preset: FakeBackend())
    with pytest.raises(RuntimeError, match="out of memory"):
        make_clip(request, load=lambda preset: FakeBackend(fail_at=(3, 1)))
    control = Control()
    with pytest.raises(Cancelled):
        make_clip(request, lambda event: control.cancel(), control, lambda preset: FakeBackend())
    assert {path: path.read_bytes() for path in tmp_path.iterdir()} == before


def test_a_bad_start_is_refused_before_the_model_loads(tmp_path: Path) -> None:
    (tmp_path / "text.png").write_text("no picture")
    (tmp_path / "empty.png").write_bytes(b"")
    (tmp_path / "text.mp4").write_text("no film")
    (tmp_path / "notes.txt").write_text("no start")
    (tmp_path / "folder.png").mkdir()
    words = {
        "text.png": "not a readable image",
        "empty.png": "empty",
        "text.mp4": "not a readable video",
        "notes.txt": "no known kind",
        "folder.png": "not a file",
        "missing.png": "cannot be found",
    }
    for name, expected in words.items():
        assert expected in refusal(ClipRequest(PRESET, tmp_path / "out.mp4", str(tmp_path / name)))


@pytest.mark.parametrize("prompt", ["", "   ", "x" * 501, "x" * 10_000, "a\x00b", "two\nlines", "\x1b[31m", "\udc80"])
def test_a_bad_prompt_is_refused(tmp_path: Path, start: str, prompt: str) -> None:
    assert "prompt" in refusal(ClipRequest(PRESET, tmp_path / "out.mp4", start, prompt)).lower()


@pytest.mark.parametrize(
    ("content", "words"),
    [
        (b"", "empty"),
        (b"\x00\x01\x02 run", "control characters"),
        (b"\xff\xfe\x00r\x00u\x00n", "not a text file"),
        (np.random.default_rng(0).bytes(2000), "not a text file"),
        (b"stand\n" + b"x" * 201, "Line 2 of plan.txt has 201 characters"),
        (b"x" * 10_000, "10000 characters"),
        (b"x" * (2**20 + 1), "1 MB"),
        (b"stand\n" * 19, "19 lines, but 4 s are 18 chunks"),
        (b"stand\n" * 100_000, "100000 lines"),
    ],
)
def test_a_bad_plan_file_is_refused(tmp_path: Path, start: str, content: bytes, words: str) -> None:
    plan = tmp_path / "plan.txt"
    plan.write_bytes(content)
    request = ClipRequest(PRESET, tmp_path / "out.mp4", start, plan=plan, settings={"seconds": 4.0})
    assert words in refusal(request)


def test_plan_files_of_every_system_read_alike(tmp_path: Path, start: str) -> None:
    plan = tmp_path / "plan.txt"
    made = set()
    for content in ("stand\n\njump\n", "stand\r\n\r\njump\r\n", "\ufeffstand\n\njump", " stand \n \njump\n"):
        plan.write_bytes(content.encode())
        result = make(tmp_path, start, plan=plan)
        made.add(result.json_path.read_text(encoding="utf-8"))
    assert len(made) == 1


@pytest.mark.parametrize("seconds", [0, -4.0, float("nan"), float("inf"), 1e9, "four", True])
def test_an_absurd_length_is_refused(tmp_path: Path, start: str, seconds: object) -> None:
    assert "seconds" in refusal(ClipRequest(PRESET, tmp_path / "out.mp4", start, settings={"seconds": seconds}))


def test_unknown_settings_are_refused(tmp_path: Path, start: str) -> None:
    assert "Unknown setting" in refusal(ClipRequest(PRESET, tmp_path / "out.mp4", start, settings={"fps": 60}))


def test_a_bad_place_is_refused_before_the_model_loads(tmp_path: Path, start: str) -> None:
    (tmp_path / "folder.mp4").mkdir()
    (tmp_path / "file").write_text("")
    (tmp_path / "taken.json").mkdir()
    assert "folder" in refusal(ClipRequest(PRESET, tmp_path / "folder.mp4", start))
    for name in ("clip.avi", "clip", "clip.mp4.txt"):
        assert ".mp4" in refusal(ClipRequest(PRESET, tmp_path / name, start))
    assert "does not exist" in refusal(ClipRequest(PRESET, tmp_path / "no" / "a.mp4", start), StorageError)
    assert "not a folder" in refusal(ClipRequest(PRESET, tmp_path / "file" / "a.mp4", start), StorageError)
    assert "folder" in refusal(ClipRequest(PRESET, tmp_path / "taken.mp4", start), StorageError)
    assert "too long" in refusal(ClipRequest(PRESET, tmp_path / ("x" * 300 + ".mp4"), start), StorageError)


def test_a_place_that_cannot_be_written_is_refused_before_the_model_loads(start: str) -> None:
    # Permission bits do not stop the superuser; the process table stops everybody.
    if not Path("/proc/self").is_dir():
        pytest.skip("needs a folder in which nobody can write; this system has no /proc")
    assert "Cannot write" in refusal(ClipRequest(PRESET, Path("/proc/clip.mp4"), start), StorageError)


def test_checking_a_request_leaves_no_file(tmp_path: Path, start: str) -> None:
    before = sorted(tmp_path.iterdir())
    refusal(ClipRequest(PRESET, tmp_path / "out.mp4", start, prompt=""))
    assert sorted(tmp_path.iterdir()) == before


def test_an_intent_opens_the_clip_and_is_in_its_document(tmp_path: Path, start: str) -> None:
    result = make(tmp_path, start, FakeBackend(line="run back"), intent=" go back, then shoot ", settings={"seconds": 1})
    document = json.loads(result.json_path.read_text())
    first, second, third = document["segments"][:3]
    assert first == {"type": "text", "text": "run back", "source": "model"} and second["asked"] == "intent: go back, then shoot"
    assert "asked" not in third
    read = read_document(result.out)
    assert [chunk.asked for chunk in read.chunks] == ["intent: go back, then shoot", None, None, None]
    with_plan = make(tmp_path, start, intent="shoot", plan=["", "intent: jump", "stand"])
    asked = [segment.get("asked") for segment in json.loads(with_plan.json_path.read_text())["segments"]]
    assert [one for one in asked if one] == ["intent: shoot", "intent: jump"]


def test_an_intent_that_cannot_be_is_refused(tmp_path: Path, start: str) -> None:
    request = ClipRequest(PRESET, tmp_path / "out.mp4", start)
    assert "first line itself" in refusal(replace(request, intent="shoot", plan=["run back"]))
    assert "intent is empty" in refusal(replace(request, intent="  "))
    assert "200" in refusal(replace(request, intent="x" * 300))
