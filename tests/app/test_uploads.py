"""Uploads: told by content, refused in words, and an exported clip brings its plan back."""

from __future__ import annotations

import io
from fractions import Fraction
from pathlib import Path

import cv2
import numpy as np
import pytest

from app.exports import Exporter
from app.sessions import Session
from app.uploads import take_in
from tests.app.studio import Bench
from tests.fakes import FakeBackend
from tv2tv_core.engine.pretrained.past import moving_part
from tv2tv_core.errors import InputError
from tv2tv_core.media.clip import OWN_VIDEO, TEXT_ALONE
from tv2tv_core.media.video import write_mp4


@pytest.fixture
def bench(tmp_path: Path):
    one = Bench(tmp_path / "projects")
    yield one
    one.close()


def picture(suffix: str = ".png") -> bytes:
    image = np.random.default_rng(0).integers(0, 255, (48, 64, 3), dtype=np.uint8)
    return cv2.imencode(suffix, image)[1].tobytes()


def frames(bench: Bench, session) -> list[bytes]:
    return [session.project.frames(record.id).tobytes() for record in session.path]


@pytest.mark.parametrize(("name", "suffix"), [("a.png", ".png"), ("a.jpg", ".jpg"), ("lies.png", ".jpg"), ("none", ".png")])
def test_a_picture_starts_a_project_whatever_its_name(bench: Bench, name: str, suffix: str):
    session, notice = take_in(bench.library, io.BytesIO(picture(suffix)), name, {})
    assert "picture" in notice and len(session.path) == 1
    shown = session.project.frames(session.path[0].id)
    assert (shown == shown[:1]).all() and shown.std() > 5


def test_a_video_starts_a_project_from_its_last_frames(bench: Bench, tmp_path: Path):
    dark, light = np.zeros((4, 48, 64, 3), np.uint8), np.full((4, 48, 64, 3), 220, np.uint8)
    write_mp4(tmp_path / "own.mp4", [dark, light], Fraction(35, 2), scale=1)
    session, notice = take_in(bench.library, io.BytesIO((tmp_path / "own.mp4").read_bytes()), "holiday.mp4", {})
    assert "video" in notice
    assert session.project.frames(session.path[0].id).mean() > 200


def test_a_video_brings_as_many_frames_as_the_model_draws_at_a_time(tmp_path: Path):
    """The past of a pretrained model is a second or more, not the four frames of the one that ships."""
    bench = Bench(tmp_path / "projects", FakeBackend(chunk_frames=64, fps=Fraction(16)))
    shades = np.repeat(np.arange(30, 230, 10, dtype=np.uint8), 48 * 64 * 3).reshape(-1, 48, 64, 3)
    write_mp4(tmp_path / "own.mp4", [shades], Fraction(16), scale=1)
    wanted = {"preset": "wan-vace-1.3b"}
    session, _ = take_in(bench.library, io.BytesIO((tmp_path / "own.mp4").read_bytes()), "own.mp4", wanted)
    moving = moving_part(session.project.frames(session.path[0].id))
    assert len(moving) == 20 and np.abs(moving.mean((1, 2, 3)) - shades.mean((1, 2, 3))).max() < 4
    assert session.project.info.prompt == OWN_VIDEO
    session.generate(chunks=1)
    bench.settle(session)
    again = _restored(bench, session)
    assert np.array_equal(again.project.frames(again.path[0].id), session.project.frames(session.path[0].id))
    bench.close()


def test_a_start_from_text_alone_comes_back_from_its_clip(tmp_path: Path):
    bench = Bench(tmp_path / "projects", FakeBackend(chunk_frames=80, fps=Fraction(24)))
    session = bench.library.create(TEXT_ALONE, "a red fox", preset="skyreels-df-1.3b")
    session.generate(chunks=1)
    bench.settle(session)
    again = _restored(bench, session)
    assert (again.project.info.start, again.project.info.preset) == (TEXT_ALONE, "skyreels-df-1.3b")
    assert not len(moving_part(again.project.frames(again.path[0].id)))
    bench.close()


def _restored(bench: Bench, session: Session) -> Session:
    """What comes of a project's MP4 when it is dropped on the page."""
    exporter = Exporter(bench.library.folder)
    done = exporter.wait(session, exporter.start(session, {"kind": "mp4", "scale": 1}))
    assert done["state"] == "done", done
    task = done["files"][0]["url"].split("/")[-2]
    clip = exporter.file(session.id, task, done["files"][0]["name"]).read_bytes()
    exporter.close()
    return take_in(bench.library, io.BytesIO(clip), "clip.mp4", {})[0]


def test_an_exported_clip_brings_its_plan_back_and_then_the_same_frames(bench: Bench, tmp_path: Path):
    session, _ = take_in(bench.library, io.BytesIO(picture()), "mine.png", {})
    session.editor.storyboard(["run forward", "intent: shoot", "", "stand, fire"], 2 * 4 / 17.5, generate=True)
    bench.settle(session)
    exporter = Exporter(bench.library.folder)
    done = exporter.wait(session, exporter.start(session, {"kind": "mp4"}))
    assert done["state"] == "done", done
    task = done["files"][0]["url"].split("/")[-2]
    clip = exporter.file(session.id, task, done["files"][0]["name"]).read_bytes()
    again, notice = take_in(bench.library, io.BytesIO(clip), "clip.mp4", {})
    assert "8 chunks" in notice
    wanted = {record.index: record.plan for record in session.path[1:]} | {2: "intent: shoot"}
    assert dict(again.project.story.current.planned) == wanted
    again.generate(chunks=8)
    bench.settle(again)
    assert frames(bench, again) == frames(bench, session)
    exporter.close()


def test_a_project_file_is_opened(bench: Bench, tmp_path: Path):
    session = bench.library.create(name="Travels")
    session.project.copy_to(tmp_path / "copy")
    opened, notice = take_in(bench.library, io.BytesIO((tmp_path / "copy").read_bytes()), "whatever.bin", {})
    assert opened.path == session.path and "Travels" in notice


@pytest.mark.parametrize(
    ("content", "name"),
    [
        (b"", "empty.png"),
        (b"hello", "text.txt"),
        (b"hello", "text.png"),
        (picture()[:60], "cut.png"),
        (b"SQLite format 3\x00" + bytes(200), "bad.tv2tv"),
        (b"\x00\x00\x00\x18ftypmp42" + bytes(300), "cut.mp4"),
        (b"#EXTM3U\nfile:///etc/passwd\n", "list.m3u8"),
        (b"<svg onload=alert(1)>", "x.svg"),
        (b"PK\x03\x04" + bytes(100), "../../etc/cron.zip"),
        (b"hello", "\u202egnp.<script>${x}.png" + "a" * 300),
    ],
)
def test_what_cannot_be_used_is_refused_in_words_and_leaves_nothing(bench: Bench, content: bytes, name: str):
    before = sorted(bench.library.folder.rglob("*"))
    with pytest.raises(InputError) as caught:
        take_in(bench.library, io.BytesIO(content), name, {})
    assert 15 < len(str(caught.value)) < 400 and str(caught.value).isprintable()
    assert sorted(bench.library.folder.rglob("*")) == before


def test_a_wish_for_name_and_prompt_is_followed(bench: Bench):
    wanted = {"name": "Mine", "prompt": "a clip in a snowy yard", "preset": "embedded-4step"}
    session, _ = take_in(bench.library, io.BytesIO(picture()), "a.png", wanted)
    info = session.project.info
    assert (info.name, info.prompt, info.preset) == ("Mine", "a clip in a snowy yard", "embedded-4step")


def test_an_error_names_the_file_that_was_dropped(bench: Bench):
    with pytest.raises(InputError, match="holiday"):
        take_in(bench.library, io.BytesIO(picture()[:60]), "holiday.png", {})


def test_a_hostile_name_is_only_a_name(bench: Bench):
    session, _ = take_in(bench.library, io.BytesIO(picture()), "../../x/<img src=x onerror=alert(1)>${7*7}\u0000\n.png", {})
    assert session.project.info.name.isprintable() and "/" not in session.project.info.name.split("<")[0]
    assert session.project.file.parent == bench.library.folder.resolve()
