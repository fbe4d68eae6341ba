"""Exports that are smoothed, sharpened, slowed down or sped up: exact counts, captions in step, and the file says so."""

from __future__ import annotations

import io
import json
import zipfile
from pathlib import Path

import av
import numpy as np
import pytest
from PIL import Image

from tests.media.clip_views import DOCUMENT, FPS, Memory, clip_view
from tests.media.delivery_nets import PlainNet
from tv2tv_core.errors import InputError
from tv2tv_core.media import delivery
from tv2tv_core.media.clip_view import ClipChunk, ClipView
from tv2tv_core.media.export import ExportRequest, export
from tv2tv_core.media.video import count_frames, read_metadata

PLANS = ("", "run forward", "run forward", "jump")


@pytest.fixture
def plain_net(monkeypatch: pytest.MonkeyPatch) -> PlainNet:
    """The delivery networks replaced by a stand-in."""
    net = PlainNet()
    monkeypatch.setattr(delivery, "shipped", lambda: net)
    return net


@pytest.mark.parametrize("captions", ["none", "burned", "soft"])
@pytest.mark.parametrize(("factor", "sharp", "scale"), [(2, 1, 2), (4, 2, 4), (1, 4, 4), (2, 4, 4)])
@pytest.mark.parametrize("kind", ["mp4", "webm", "gif", "png"])
def test_a_delivered_export_has_every_frame(
    tmp_path: Path, plain_net: PlainNet, kind: str, factor: int, sharp: int, scale: int, captions: str
) -> None:
    if (kind, captions) == ("gif", "soft"):
        return
    request = ExportRequest(kind, captions, scale, factor, sharp)
    told: list[tuple[int, int]] = []
    out = export(clip_view(PLANS), request, tmp_path / "a.bin", lambda *now: told.append(now))
    expected = 15 * factor + 1
    assert told == sorted(told) and told[-1][0] == told[-1][1] and len({total for _, total in told}) == 1
    if kind == "png":
        with zipfile.ZipFile(out) as archive:
            names = [name for name in archive.namelist() if name.endswith(".png")]
            assert len(names) == expected
            assert np.asarray(Image.open(io.BytesIO(archive.read(names[-1])))).shape == (24 * scale, 40 * scale, 3)
        return
    assert count_frames(out) == expected
    with av.open(str(out)) as container:
        stream = container.streams.video[0]
        assert (stream.width, stream.height) == (40 * scale, 24 * scale)
        if kind != "gif":
            assert float(container.duration / av.time_base) == pytest.approx(float(expected / FPS / factor), abs=0.002)


@pytest.mark.parametrize("factor", [2, 4])
def test_delivered_captions_stay_in_sync(tmp_path: Path, plain_net: PlainNet, factor: int) -> None:
    out = export(clip_view(PLANS), ExportRequest("mp4", "soft", 2, factor), tmp_path / "a.mp4")
    with av.open(str(out)) as container:
        [stream] = container.streams.subtitles
        packets = [packet for packet in container.demux(stream) if packet.size > 2]
    starts = [float(packet.pts * packet.time_base) for packet in packets]
    assert starts == pytest.approx([float(4 / FPS), float(12 / FPS)], abs=0.001)
    end = packets[-1].pts + packets[-1].duration
    assert float(end * packets[-1].time_base) == pytest.approx(float((15 * factor + 1) / FPS / factor), abs=0.001)
    with zipfile.ZipFile(export(clip_view(PLANS), ExportRequest("png", "soft", 2, factor), tmp_path / "a.zip")) as archive:
        assert "00:00:00,229 -->" in archive.read("captions.srt").decode()


def test_a_delivered_file_says_what_was_done_and_is_read_like_any_other(tmp_path: Path, plain_net: PlainNet) -> None:
    out = export(clip_view(PLANS), ExportRequest("mp4", scale=4, fps_factor=2, sharpen=4), tmp_path / "a.mp4")
    document = json.loads(read_metadata(out)["comment"])
    assert document.pop("delivery") == {"fps_factor": 2, "sharpen": 4, "frames": 31, "fps": 35.0, "size": [160, 96]}
    assert document == DOCUMENT


@pytest.mark.parametrize(("factor", "speed", "expected"), [(1, 0.25, 61), (2, 0.5, 61), (2, 2, 16), (1, 2, 8), (1, 4, 4)])
@pytest.mark.parametrize("kind", ["mp4", "webm", "gif", "png"])
def test_an_export_at_a_speed_has_the_frames_and_the_rate_it_says(
    tmp_path: Path, plain_net: PlainNet, kind: str, factor: int, speed: float, expected: int
) -> None:
    told: list[tuple[int, int]] = []
    request = ExportRequest(kind, scale=2, fps_factor=factor, speed=speed)
    out = export(clip_view(PLANS), request, tmp_path / "a.bin", lambda *now: told.append(now))
    assert told == sorted(told) and told[-1][0] == told[-1][1]
    assert bool(plain_net.pairs) == (speed < factor)
    if kind == "png":
        with zipfile.ZipFile(out) as archive:
            assert sum(name.endswith(".png") for name in archive.namelist()) == expected
            said = json.loads(archive.read("document.json"))["delivery"]
        assert (said["speed"], said["frames"], said["fps"]) == (speed, expected, 17.5 * factor)
        return
    assert count_frames(out) == expected
    with av.open(str(out)) as container:
        length = float(container.duration / av.time_base)
    assert length == pytest.approx(expected / 17.5 / factor, abs=0.011 if kind == "gif" else 0.002)
    # At most one frame of the clip, as long as it is shown, short of the whole: nothing follows the last one.
    assert length == pytest.approx(float(16 / FPS) / speed, abs=max(1 / speed, 1 / factor) / 17.5 + 0.011)


@pytest.mark.parametrize("kind", ["mp4", "webm"])
@pytest.mark.parametrize(("factor", "speed"), [(1, 0.25), (2, 0.5), (4, 2), (1, 2), (1, 4)])
def test_captions_keep_in_step_at_every_speed(
    tmp_path: Path, plain_net: PlainNet, kind: str, factor: int, speed: float
) -> None:
    plans = ["", "run", "run", "jump", "stand", "use", "use"]
    out = export(clip_view(plans), ExportRequest(kind, "soft", 2, factor, speed=speed), tmp_path / "a.bin")
    with av.open(str(out)) as container:
        [stream] = container.streams.subtitles
        packets = [packet for packet in container.demux(stream) if packet.size > 2]
        clock = stream.time_base
    starts = [float(packet.pts * clock) for packet in packets]
    assert starts == pytest.approx([float(4 * chunk / FPS) / speed for chunk in (1, 3, 4, 5)], abs=0.001)
    ends = [float((packet.pts + packet.duration) * clock) for packet in packets]
    assert ends[:-1] == pytest.approx(starts[1:], abs=0.0011)
    whole = ExportRequest(kind, fps_factor=factor, speed=speed).delivery.count(28) / 17.5 / factor
    assert ends[-1] == pytest.approx(whole, abs=0.001)


def test_a_line_that_falls_between_two_pictures_has_no_caption(tmp_path: Path) -> None:
    view = clip_view(["run"])
    chunks = [ClipChunk(k, line, "model", lambda k=k: view.chunks[0].frames()[k : k + 1])
              for k, line in enumerate(("run", "jump", "run", "stand"))]  # fmt: skip
    fast = ClipView("n", FPS, 40, 24, 1, chunks, {})
    with zipfile.ZipFile(export(fast, ExportRequest("png", "soft", 1, speed=2), tmp_path / "a.zip")) as archive:
        lines = archive.read("captions.srt").decode().split("\n")
    assert [line for line in lines if line in ("run", "jump", "stand")] == ["run", "run"]


def test_burned_captions_keep_in_step_at_every_speed(tmp_path: Path, plain_net: PlainNet) -> None:
    def lettered(factor: int, speed: float) -> list[bool]:
        request = ExportRequest("png", "burned", 4, factor, speed=speed)
        with zipfile.ZipFile(export(clip_view(["", "run", "", "run"]), request, tmp_path / "a.zip")) as archive:
            names = sorted(name for name in archive.namelist() if name.endswith(".png"))
            return [bool(np.ptp(np.asarray(Image.open(io.BytesIO(archive.read(name))))[-30:])) for name in names]

    for factor, speed in ((1, 0.25), (1, 4), (2, 4)):
        found = lettered(factor, speed)
        assert found == [int(number * speed / factor) // 4 % 2 == 1 for number in range(len(found))]


def test_a_delivered_export_runs_its_networks_once_and_holds_few_chunks(tmp_path: Path, plain_net: PlainNet) -> None:
    memory = Memory()
    view = clip_view([f"line {number}" for number in range(20)], memory=memory)
    export(view, ExportRequest("gif", "none", 2, 2, 2), tmp_path / "a.gif")
    # 79 pairs, of which one is a cut: the test clip starts again from dark.
    assert sum(plain_net.pairs) == 78 and memory.most <= 2 and memory.alive == 0


def test_delivery_is_refused_where_it_makes_no_sense() -> None:
    for values in (("sheet", "none", 4, 2), ("srt", "none", 4, 1, 2), ("side-by-side", "none", 4, 2), ("mp4", "none", 2, 1, 4),
                   ("mp4", "none", 4, 3), ("mp4", "none", 4, 1, 8), ("srt", "none", 4, 1, 1, 2), ("mp4", "none", 4, 1, 1, 3)):
        with pytest.raises(InputError) as caught:
            ExportRequest(*values)
        assert "\n" not in str(caught.value)
