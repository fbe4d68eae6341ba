"""Video in and out: every frame arrives, the file is whole or absent, and damaged files are refused with words."""

from __future__ import annotations

import struct
from collections.abc import Iterator
from fractions import Fraction
from pathlib import Path

import av
import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from tv2tv_core.errors import InputError, StorageError
from tv2tv_core.media.video import count_frames, read_frames, read_metadata, write_mp4

FPS = Fraction(35, 2)


def clip(chunks: int, height: int = 24, width: int = 40) -> list[np.ndarray]:
    """Flat frames whose brightness is their number: easy to recognise after compression."""
    numbers = np.arange(chunks * 4, dtype=np.uint8).reshape(chunks, 4, 1, 1, 1) * 4
    return list(np.broadcast_to(numbers, (chunks, 4, height, width, 3)).copy())


def number_of(frames: np.ndarray) -> list[int]:
    return np.rint(frames.mean(axis=(1, 2, 3)) / 4).astype(int).tolist()


@pytest.mark.parametrize("chunks", [1, 2, 18, 61])
def test_every_frame_arrives_once_and_in_order(tmp_path: Path, chunks: int) -> None:
    path = tmp_path / "a.mp4"
    frames = [np.full((4, 24, 40, 3), 90, np.uint8)] * chunks
    assert write_mp4(path, frames, FPS) == count_frames(path) == chunks * 4
    with av.open(str(path)) as container:
        stream = container.streams.video[0]
        assert stream.codec_context.name == "h264" and stream.pix_fmt == "yuv420p"
        assert stream.frames == chunks * 4 and stream.average_rate == FPS
        assert stream.duration * stream.time_base == chunks * 4 / FPS
        assert (stream.width, stream.height) == (160, 96)


def test_the_index_stands_in_front_of_the_pictures(tmp_path: Path) -> None:
    write_mp4(tmp_path / "a.mp4", clip(2), FPS)
    content = (tmp_path / "a.mp4").read_bytes()
    assert 0 < content.find(b"moov") < content.find(b"mdat")


def test_colours_and_order_survive(tmp_path: Path) -> None:
    y, x = np.mgrid[0:96, 0:160]
    picture = np.stack([x, 255 - y, np.full_like(x, 60)], -1).astype(np.uint8)
    write_mp4(tmp_path / "a.mp4", [np.repeat(picture[None], 4, 0)], FPS, scale=2)
    found = read_frames(tmp_path / "a.mp4", 1)[0, ::2, ::2].astype(int)
    assert np.abs(found - picture).mean() < 3
    write_mp4(tmp_path / "b.mp4", clip(10), FPS)
    assert number_of(read_frames(tmp_path / "b.mp4", 4)) == [0, 1, 2, 3]
    assert number_of(read_frames(tmp_path / "b.mp4", 4, from_end=True)) == [36, 37, 38, 39]


def test_the_same_frames_give_the_same_bytes(tmp_path: Path) -> None:
    for name in ("a.mp4", "b.mp4"):
        write_mp4(tmp_path / name, clip(5), FPS, {"title": "t"})
    assert (tmp_path / "a.mp4").read_bytes() == (tmp_path / "b.mp4").read_bytes()


def test_metadata_comes_back_whole(tmp_path: Path) -> None:
    comment = "Zeile é 漢字 " * 5000
    write_mp4(tmp_path / "a.mp4", clip(1), FPS, {"comment": comment, "title": "a clip"})
    found = read_metadata(tmp_path / "a.mp4")
    assert found["comment"] == comment and found["title"] == "a clip"


def test_a_long_video_is_read_from_its_end(tmp_path: Path) -> None:
    flat = [np.full((4, 16, 16, 3), 40, np.uint8)] * 120
    write_mp4(tmp_path / "a.mp4", [*flat, *clip(2, 16, 16)], FPS, scale=1)
    assert number_of(read_frames(tmp_path / "a.mp4", 6, from_end=True)) == [2, 3, 4, 5, 6, 7]


def test_another_frame_rate_keeps_its_speed(tmp_path: Path) -> None:
    write_mp4(tmp_path / "a.mp4", clip(10), Fraction(70), scale=1)
    assert number_of(read_frames(tmp_path / "a.mp4", 4, from_end=True, fps=FPS)) == [27, 31, 35, 39]
    assert number_of(read_frames(tmp_path / "a.mp4", 4, fps=FPS)) == [0, 4, 8, 12]


def test_a_short_video_gives_what_it_has(tmp_path: Path) -> None:
    write_mp4(tmp_path / "a.mp4", [clip(1)[0][:2]], FPS)
    assert number_of(read_frames(tmp_path / "a.mp4", 4, from_end=True)) == [0, 1]


def test_a_failure_in_the_middle_leaves_the_old_file_and_no_rest(tmp_path: Path) -> None:
    path = tmp_path / "a.mp4"
    path.write_bytes(b"the good one")

    def broken() -> Iterator[np.ndarray]:
        yield from clip(3)
        raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        write_mp4(path, broken(), FPS)
    assert path.read_bytes() == b"the good one"
    assert list(tmp_path.iterdir()) == [path]


def test_a_disk_that_takes_no_more_is_reported_and_leaves_nothing(tmp_path: Path) -> None:
    resource = pytest.importorskip("resource", reason="this system cannot limit the size of files")
    path = tmp_path / "a.mp4"
    path.write_bytes(b"the good one")
    noise = [np.random.default_rng(k).integers(0, 255, (4, 48, 80, 3), dtype=np.uint8) for k in range(20)]
    soft, hard = resource.getrlimit(resource.RLIMIT_FSIZE)
    resource.setrlimit(resource.RLIMIT_FSIZE, (50_000, hard))
    try:
        with pytest.raises(StorageError) as caught:
            write_mp4(path, noise, FPS)
    finally:
        resource.setrlimit(resource.RLIMIT_FSIZE, (soft, hard))
    assert "a.mp4" in str(caught.value) and "\n" not in str(caught.value)
    assert path.read_bytes() == b"the good one"
    assert list(tmp_path.iterdir()) == [path]


def test_a_missing_folder_is_reported(tmp_path: Path) -> None:
    with pytest.raises(StorageError, match="folder does not exist"):
        write_mp4(tmp_path / "no" / "a.mp4", clip(1), FPS)


@pytest.mark.parametrize(
    "frames",
    [
        [],
        [np.zeros((4, 24, 40, 3), np.float32)],
        [np.zeros((24, 40, 3), np.uint8)],
        [np.zeros((1, 24, 40, 3), np.uint8), np.zeros((1, 24, 44, 3), np.uint8)],
        [np.zeros((1, 23, 41, 3), np.uint8)],
    ],
)
def test_frames_that_do_not_fit_are_refused(tmp_path: Path, frames: list[np.ndarray]) -> None:
    with pytest.raises(ValueError):
        write_mp4(tmp_path / "a.mp4", frames, FPS, scale=1)
    assert not list(tmp_path.iterdir())


def refusal(path: Path) -> str:
    with pytest.raises(InputError) as caught:
        read_frames(path, 4, from_end=True)
    assert "\n" not in str(caught.value)
    return str(caught.value)


def test_what_is_no_video_is_refused_with_words(tmp_path: Path) -> None:
    (tmp_path / "text.mp4").write_text("I am a letter, not a film. " * 100)
    (tmp_path / "empty.mp4").write_bytes(b"")
    (tmp_path / "noise.mp4").write_bytes(np.random.default_rng(0).bytes(5000))
    (tmp_path / "list.mp4").write_text("#EXTM3U\n#EXT-X-TARGETDURATION:1\n#EXTINF:1,\n/etc/passwd\n#EXT-X-ENDLIST\n")
    for name in ("text.mp4", "noise.mp4", "list.mp4"):
        assert "not a readable video" in refusal(tmp_path / name)
    assert "empty" in refusal(tmp_path / "empty.mp4")
    assert "cannot be found" in refusal(tmp_path / "missing.mp4")


def test_a_cut_off_video_is_refused(tmp_path: Path) -> None:
    write_mp4(tmp_path / "a.mp4", clip(5), FPS)
    content = (tmp_path / "a.mp4").read_bytes()
    (tmp_path / "b.mp4").write_bytes(content[: len(content) // 4])
    refusal(tmp_path / "b.mp4")


@settings(max_examples=40, deadline=None)
@given(data=st.data())
def test_a_damaged_video_is_read_or_refused_but_never_crashes(tmp_path_factory, data: st.DataObject) -> None:
    folder = tmp_path_factory.mktemp("damaged")
    write_mp4(folder / "a.mp4", clip(3, 16, 16), FPS, scale=1)
    content = bytearray((folder / "a.mp4").read_bytes())
    for _ in range(data.draw(st.integers(1, 8))):
        content[data.draw(st.integers(0, len(content) - 1))] = data.draw(st.integers(0, 255))
    (folder / "a.mp4").write_bytes(content)
    try:
        found = read_frames(folder / "a.mp4", 4, from_end=True)
    except InputError:
        return
    assert found.dtype == np.uint8 and found.shape[-1] == 3 and 1 <= len(found) <= 4


def test_a_video_from_a_phone_stands_upright(tmp_path: Path) -> None:
    picture = np.zeros((4, 32, 64, 3), np.uint8)
    picture[:, :, :32] = 255
    write_mp4(tmp_path / "a.mp4", [picture], FPS, scale=1)
    content = bytearray((tmp_path / "a.mp4").read_bytes())
    # The display matrix of the track: from the identity to a quarter turn clockwise.
    identity = struct.pack(">9i", 65536, 0, 0, 0, 65536, 0, 0, 0, 1 << 30)
    turned = struct.pack(">9i", 0, 65536, 0, -65536, 0, 0, 0, 0, 1 << 30)
    at = content.rfind(identity)
    content[at : at + len(identity)] = turned
    (tmp_path / "a.mp4").write_bytes(content)
    found = read_frames(tmp_path / "a.mp4", 1)[0]
    assert found.shape == (64, 32, 3)
    # Left in the sensor's picture is up after a quarter turn clockwise.
    assert found[:28].mean() > 240 and found[36:].mean() < 15


def sound_only(path: Path) -> None:
    with av.open(str(path), "w") as container:
        stream = container.add_stream("aac", rate=8000, layout="mono")
        frame = av.AudioFrame.from_ndarray(np.zeros((1, 1024), np.float32), format="fltp", layout="mono")
        frame.sample_rate = 8000
        container.mux(stream.encode(frame))
        container.mux(stream.encode(None))


def test_a_file_with_sound_alone_has_no_video(tmp_path: Path) -> None:
    sound_only(tmp_path / "a.mp4")
    assert "no video in it" in refusal(tmp_path / "a.mp4")


def test_a_video_without_frames_is_refused(tmp_path: Path) -> None:
    with av.open(str(tmp_path / "a.mkv"), "w") as container:
        stream = container.add_stream("libx264", rate=25)
        stream.width = stream.height = 16
        stream.pix_fmt = "yuv420p"
        container.start_encoding()
    assert "no readable frame" in refusal(tmp_path / "a.mkv")
