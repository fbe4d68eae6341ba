"""Exports: every frame is there, in the promised format, whole or not at all, whatever the plan lines hold."""

from __future__ import annotations

import io
import itertools
import json
import subprocess
import sys
import zipfile
from pathlib import Path

import av
import numpy as np
import pytest
from PIL import Image

from tests.media.clip_views import DOCUMENT, FPS, HOSTILE, Memory, clip_view, grey
from tv2tv_core.errors import Cancelled, InputError, StorageError
from tv2tv_core.media.clip import read_plan
from tv2tv_core.media.clip_view import ClipView
from tv2tv_core.media.export import ExportRequest, export, suggest_name
from tv2tv_core.media.video import count_frames, read_frames, read_metadata

KINDS = ("mp4", "gif", "webm", "png", "sheet", "srt", "vtt", "side-by-side")
PLANS = ("", "run forward", "run forward", "jump")


def second(kind: str, chunks: int = 2) -> ClipView | None:
    """The other take that a side-by-side needs."""
    return clip_view(["stand"] * chunks, name="Take 2") if kind == "side-by-side" else None


def numbers(path: Path, count: int) -> list[int]:
    """The frames of a video by their grey."""
    return np.rint(read_frames(path, count).mean(axis=(1, 2, 3))).astype(int).tolist()


@pytest.mark.parametrize("chunks", range(1, 10))
@pytest.mark.parametrize(("kind", "codec", "scale"), [("mp4", "h264", 2), ("webm", "vp9", 1), ("side-by-side", "h264", 1)])
def test_every_frame_of_a_video_arrives(tmp_path: Path, chunks: int, kind: str, codec: str, scale: int) -> None:
    view = clip_view(["run", "jump", "stand"] * 3)
    view = clip_view([chunk.plan for chunk in view.chunks[:chunks]])
    captions = ("none", "burned", "soft")[chunks % 3]
    out = export(view, ExportRequest(kind, captions, scale), tmp_path / "a.bin", other=second(kind))
    expected = 4 * max(chunks, 2 if kind == "side-by-side" else 0)
    assert count_frames(out) == expected
    with av.open(str(out)) as container:
        stream = container.streams.video[0]
        assert (stream.codec_context.name, stream.pix_fmt) == (codec, "yuv420p")
        assert float(container.duration / av.time_base) == pytest.approx(float(expected / FPS), abs=0.002)
        if kind != "side-by-side":
            assert (stream.width, stream.height) == (40 * scale, 24 * scale)
            assert float(stream.average_rate) == pytest.approx(17.5, rel=1e-3)


@pytest.mark.parametrize("kind", ["mp4", "webm"])
def test_frames_keep_their_order(tmp_path: Path, kind: str) -> None:
    export(clip_view(["run"] * 5), ExportRequest(kind, scale=1), tmp_path / f"a.{kind}")
    found = numbers(tmp_path / f"a.{kind}", 20)
    assert found == pytest.approx([grey(number) for number in range(20)], abs=2)


def test_an_mp4_starts_playing_before_it_is_loaded(tmp_path: Path) -> None:
    content = export(clip_view(PLANS), ExportRequest("mp4", "soft"), tmp_path / "a.mp4").read_bytes()
    assert 0 < content.find(b"moov") < content.find(b"mdat")


@pytest.mark.parametrize("kind", ["mp4", "webm", "side-by-side"])
def test_a_video_says_what_it_was_made_from(tmp_path: Path, kind: str) -> None:
    out = export(clip_view(PLANS), ExportRequest(kind, scale=1), tmp_path / "a.mp4", other=second(kind))
    tags = {name.lower(): value for name, value in read_metadata(out).items()}
    assert json.loads(tags["comment"]) == DOCUMENT and tags["title"] == "a base"


@pytest.mark.parametrize(("kind", "codec"), [("mp4", "mov_text"), ("webm", "webvtt")])
def test_soft_captions_are_a_track_with_the_lines_as_they_are(tmp_path: Path, kind: str, codec: str) -> None:
    out = export(clip_view(["", "a <b>", "a <b>", "{\\an8} é"]), ExportRequest(kind, "soft"), tmp_path / "a.mp4")
    with av.open(str(out)) as container:
        [stream] = container.streams.subtitles
        assert stream.codec_context.name == codec
        told = [(packet.pts * packet.time_base, bytes(packet)) for packet in container.demux(stream) if packet.size > 2]
    starts = [float(4 / FPS), float(12 / FPS)]
    assert [float(start) for start, _ in told] == pytest.approx(starts, abs=0.001)
    texts = [text[2:] if kind == "mp4" else text for _, text in told]
    markup = b"a <b>" if kind == "mp4" else b"a &lt;b&gt;"
    assert texts == [markup, "{\\an8} é".encode()]


@pytest.mark.parametrize("chunks", [1, 2, 7, 9])
def test_a_gif_lasts_as_long_as_the_clip(tmp_path: Path, chunks: int) -> None:
    out = export(clip_view(["run"] * chunks), ExportRequest("gif", scale=1), tmp_path / "a.gif")
    with Image.open(out) as image:
        assert image.size == (40, 24) and image.n_frames == 4 * chunks and image.info["loop"] == 0
        delays = []
        for number in range(image.n_frames):
            image.seek(number)
            delays.append(image.info["duration"])
    ends = np.cumsum(delays)
    assert np.abs(ends - [1000 * (k + 1) / 17.5 for k in range(4 * chunks)]).max() <= 5.001
    assert set(delays) <= {50, 60}


def test_a_gif_keeps_the_colours(tmp_path: Path) -> None:
    y, x = np.mgrid[0:96, 0:160]
    picture = np.stack([x, 255 - y, (x + y) // 2], -1).astype(np.uint8)
    view = clip_view(["run"], size=(160, 96))
    chunk = type(view.chunks[0])(0, "run", "model", lambda: np.repeat(picture[None], 4, 0))
    view = ClipView(view.name, FPS, 160, 96, 4, [chunk], view.document)
    with Image.open(export(view, ExportRequest("gif", scale=1), tmp_path / "a.gif")) as image:
        found = np.asarray(image.convert("RGB")).astype(int)
    assert np.abs(found - picture).mean() < 6


def test_stills_are_the_frames_themselves(tmp_path: Path) -> None:
    out = export(clip_view(PLANS), ExportRequest("png", "soft", 1), tmp_path / "a.zip")
    with zipfile.ZipFile(out) as archive:
        assert archive.testzip() is None
        names = archive.namelist()
        frames = [name for name in names if name.endswith(".png")]
        assert frames == [f"frame_{number:05d}.png" for number in range(1, 17)]
        assert set(names) - set(frames) == {"plan.txt", "document.json", "captions.srt", "captions.vtt"}
        for number, name in enumerate(frames):
            picture = np.asarray(Image.open(io.BytesIO(archive.read(name))))
            assert picture.shape == (24, 40, 3) and (picture == grey(number)).all()
        assert json.loads(archive.read("document.json")) == DOCUMENT
        (tmp_path / "plan.txt").write_bytes(archive.read("plan.txt"))
    assert read_plan(tmp_path / "plan.txt") == PLANS


def test_the_same_clip_gives_the_same_bytes(tmp_path: Path) -> None:
    for kind in ("mp4", "png", "gif", "srt"):
        twice = [export(clip_view(PLANS), ExportRequest(kind), tmp_path / name).read_bytes() for name in "ab"]
        assert twice[0] == twice[1], kind


@pytest.mark.parametrize(
    ("kind", "captions"),
    [(kind, captions) for kind in KINDS for captions in ("none", "burned", "soft") if (kind, captions) != ("gif", "soft")],
)
def test_no_plan_line_breaks_an_export(tmp_path: Path, kind: str, captions: str) -> None:
    view = clip_view(HOSTILE, name="<b>\x00 ../../etc\n😀")
    out = tmp_path / suggest_name(view, kind)
    export(view, ExportRequest(kind, captions, 1), out, other=second(kind))
    assert list(tmp_path.iterdir()) == [out] and out.stat().st_size > 0
    if kind in ("mp4", "webm", "gif", "side-by-side"):
        assert count_frames(out) == 32


@pytest.mark.parametrize("kind", KINDS)
def test_a_stopped_export_leaves_nothing_but_what_was_there(tmp_path: Path, kind: str) -> None:
    out = tmp_path / "a.pdf"
    out.write_bytes(b"the good one")
    view = clip_view([f"line {number}" for number in range(30)])
    calls = itertools.count()
    export(view, ExportRequest(kind, scale=1), tmp_path / "b.pdf", check=lambda: next(calls), other=second(kind))
    (tmp_path / "b.pdf").unlink()
    for stop_at in {0, next(calls) // 2, next(calls) - 3}:
        left = itertools.count()

        def check(left: itertools.count = left, stop_at: int = stop_at) -> None:
            if next(left) >= stop_at:
                raise Cancelled("Stopped.")

        if stop_at < 0:
            continue
        with pytest.raises(Cancelled):
            export(view, ExportRequest(kind, scale=1), out, check=check, other=second(kind))
        assert list(tmp_path.iterdir()) == [out] and out.read_bytes() == b"the good one"


@pytest.mark.parametrize("kind", [kind for kind in KINDS if kind not in ("srt", "vtt")])
def test_a_full_disk_is_told_and_leaves_what_was_there(tmp_path: Path, kind: str) -> None:
    resource = pytest.importorskip("resource", reason="this system cannot limit the size of files")
    out = tmp_path / "a.png"
    out.write_bytes(b"the good one")
    view = clip_view(["run"] * 6, size=(160, 96))
    noise = [np.random.default_rng(k).integers(0, 255, (4, 96, 160, 3), dtype=np.uint8) for k in range(6)]
    chunks = [type(chunk)(chunk.index, "run", None, lambda k=chunk.index: noise[k]) for chunk in view.chunks]
    view = ClipView("n", FPS, 160, 96, 4, chunks, {})
    other = view if kind == "side-by-side" else None
    soft, hard = resource.getrlimit(resource.RLIMIT_FSIZE)
    resource.setrlimit(resource.RLIMIT_FSIZE, (20_000, hard))
    try:
        with pytest.raises(StorageError) as caught:
            export(view, ExportRequest(kind, scale=1), out, other=other)
    finally:
        resource.setrlimit(resource.RLIMIT_FSIZE, (soft, hard))
    assert "a.png" in str(caught.value) and "\n" not in str(caught.value)
    assert list(tmp_path.iterdir()) == [out] and out.read_bytes() == b"the good one"


@pytest.mark.parametrize("captions", ["none", "burned"])
@pytest.mark.parametrize("kind", KINDS)
def test_an_export_holds_one_chunk_at_a_time(tmp_path: Path, kind: str, captions: str) -> None:
    memory = Memory()
    view = clip_view([f"line {number}" for number in range(20)], memory=memory)
    other = clip_view(["stand"] * 3, name="Take 2") if kind == "side-by-side" else None
    export(view, ExportRequest(kind, captions, 1), tmp_path / "a.pdf", other=other)
    assert memory.most <= 2 and memory.alive == 0
    assert (memory.loads > 0) == (kind not in ("srt", "vtt"))


GROWTH = """
import resource, sys
from pathlib import Path
from tests.media.clip_views import clip_view
from tv2tv_core.media.export import ExportRequest, export

def peak(kind, chunks):
    view = clip_view([str(k // 9) for k in range(chunks)], size=(320, 192))
    export(view, ExportRequest(kind, scale=1), Path(sys.argv[1]) / "a.bin")
    return resource.getrusage(resource.RUSAGE_SELF).ru_maxrss

for kind in ("mp4", "png", "gif"):
    print(peak(kind, 30), peak(kind, 250))
"""


def test_memory_does_not_grow_with_the_clip(tmp_path: Path) -> None:
    pytest.importorskip("resource", reason="this system does not tell how much memory was used")
    command = [sys.executable, "-c", GROWTH, str(tmp_path)]
    result = subprocess.run(command, cwd=Path(__file__).parents[2], capture_output=True, text=True)
    assert result.returncode == 0, result.stderr
    for row in result.stdout.splitlines():
        short, long = map(int, row.split())
        # The 880 frames more are 160 MB; ru_maxrss counts KB.
        assert long - short < 60_000, result.stdout


@pytest.mark.parametrize("kind", KINDS)
def test_progress_grows_up_to_the_end(tmp_path: Path, kind: str) -> None:
    told: list[tuple[int, int]] = []
    view = clip_view([f"line {number}" for number in range(15)])
    export(view, ExportRequest(kind, scale=1), tmp_path / "a.pdf", lambda *now: told.append(now), other=second(kind))
    assert told == sorted(told) and len({total for _, total in told}) == 1
    assert told[-1][0] == told[-1][1]
    assert len(told) <= 2 * 15 + 1


def test_what_cannot_be_exported_is_refused_with_words(tmp_path: Path) -> None:
    view = clip_view(PLANS)
    for values in (("avi",), ("mp4", "loud"), ("mp4", "none", 0), ("mp4", "none", 9), ("mp4", "none", True), ("gif", "soft")):
        with pytest.raises(InputError) as caught:
            ExportRequest(*values)
        assert "\n" not in str(caught.value)
    wrong = [
        (clip_view([]), "mp4", None, "generate at least one chunk"),
        (view, "side-by-side", None, "second take"),
        (view, "mp4", view, "second take"),
        (view, "side-by-side", clip_view(["run"], size=(48, 24)), "differ in size"),
        (clip_view(["run"], size=(41, 24)), "mp4", None, "even"),
        (clip_view([f"line {k}" for k in range(60)]), "sheet", None, "ends in .pdf"),
    ]
    for clip, kind, other, words in wrong:
        with pytest.raises(InputError, match=words):
            export(clip, ExportRequest(kind, scale=1), tmp_path / "a.png", other=other)
    assert list(tmp_path.iterdir()) == []


def test_a_chunk_that_is_not_as_the_clip_says_is_refused(tmp_path: Path) -> None:
    view = clip_view(["run"])
    wrong = ClipView(view.name, FPS, 40, 24, 8, view.chunks, view.document)
    with pytest.raises(ValueError, match="chunk 0"):
        export(wrong, ExportRequest("mp4"), tmp_path / "a.mp4")


@pytest.mark.parametrize(
    ("name", "kind", "expected"),
    [
        ("Blue hall - Take 1", "mp4", "blue-hall-take-1.mp4"),
        ("Blue hall - Take 1", "png", "blue-hall-take-1-frames.zip"),
        ("Blue hall", "side-by-side", "blue-hall-side-by-side.mp4"),
        ("Blue hall", "sheet", "blue-hall-storyboard.png"),
        ("Größe é ½", "webm", "groe-e-12.webm"),
        ("../../etc/passwd", "srt", "etc-passwd.srt"),
        ("漢字 😀", "gif", "clip.gif"),
        ("", "vtt", "clip.vtt"),
        ("CON", "mp4", "clip-con.mp4"),
    ],
)
def test_names_are_sensible_and_safe(name: str, kind: str, expected: str) -> None:
    assert suggest_name(clip_view(["run"], name=name), kind) == expected


def test_names_are_not_too_long() -> None:
    for kind in KINDS:
        found = suggest_name(clip_view([f"line {k}" for k in range(30)], name="ab cd " * 100), kind)
        assert len(found) <= 60 and found.isascii() and "/" not in found and "-." not in found
    assert suggest_name(clip_view([f"line {k}" for k in range(30)]), "sheet").endswith(".pdf")
