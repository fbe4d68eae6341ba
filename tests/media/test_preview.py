"""Previews of single chunks: together exactly the smoothed clip, whatever the clip is cut into, and files that are whole."""

from __future__ import annotations

from fractions import Fraction
from pathlib import Path

import cv2
import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from tests.media.delivery_nets import PlainNet
from tv2tv_core.errors import InputError, StorageError
from tv2tv_core.media import preview
from tv2tv_core.media.delivery import Delivery, smooth

FPS = Fraction(35, 2)


def scene(seed: int, count: int) -> np.ndarray:
    """Frames of one scene that is like no other's: uint8 [count, 48, 80, 3]."""
    picture = np.random.default_rng(seed).integers(0, 255, (6, 10, 3), dtype=np.uint8).repeat(8, 0).repeat(8, 1)
    return np.stack([np.roll(picture, 2 * k, axis=1) for k in range(count)])


def by_chunks(frames: np.ndarray, size: int, delivery: Delivery) -> list[np.ndarray]:
    """The pictures of all chunks one after the other, each chunk made by itself."""
    made = []
    for index in range(len(frames) // size):
        chunk, before = frames[index * size : (index + 1) * size], frames[index * size - 1] if index else None
        pictures = list(preview.chunk_pictures(before, chunk, delivery, FPS, PlainNet()))
        assert preview.first_place(delivery, index) + len(pictures) == size * delivery.fps_factor
        made += pictures
    return made


@given(st.integers(1, 5), st.integers(1, 6), st.sampled_from([1, 2, 4]), st.sampled_from([1, 2, 4]), st.booleans())
def test_chunks_give_exactly_what_the_clip_gives(chunks: int, size: int, factor: int, scale: int, cut: bool) -> None:
    count = chunks * size
    split = count // 2 if cut else 0
    frames = np.concatenate([scene(1, split + 1)[:split], scene(2, count - split)])
    made = by_chunks(frames, size, Delivery(factor, scale))
    whole = [picture.repeat(scale, 0).repeat(scale, 1) for picture in smooth(frames, factor, FPS, PlainNet())]
    assert len(made) == (count - 1) * factor + 1
    assert all(np.array_equal(a, b) for a, b in zip(made, whole, strict=True))


def test_a_chunk_never_sees_across_the_cut_before_it() -> None:
    net = PlainNet()
    list(preview.chunk_pictures(scene(1, 1)[0], scene(2, 4), Delivery(2, 4), FPS, net))
    list(preview.chunk_pictures(scene(2, 5)[0], scene(2, 5)[1:], Delivery(1, 4), FPS, net))
    lone, joined = net.blocks[:-1], net.blocks[-1]
    assert all(len(set(block)) == 1 for block in lone) and len(joined) == 5


def test_the_stage_is_given_no_more_than_it_shows() -> None:
    assert preview.for_stage(True, True, 160) == Delivery(2, 4)
    assert preview.for_stage(False, True, 640) == Delivery(1, 2)
    assert preview.for_stage(True, True, 832) == Delivery(2, 1)
    assert preview.for_stage(False, False, 160).plain
    assert preview.variant(Delivery(2, 4)) != preview.variant(Delivery(2, 2))


def test_a_file_gives_back_its_pictures_and_says_what_is_wrong_with_it(tmp_path: Path) -> None:
    path = tmp_path / "chunk.zip"
    pictures = [preview.encode(frame) for frame in scene(3, 3)]
    preview.save(path, pictures, 1)
    assert [preview.load(path, place) for place in (1, 2, 3)] == pictures
    back = cv2.imdecode(np.frombuffer(pictures[0], np.uint8), cv2.IMREAD_COLOR)[..., ::-1]
    assert np.abs(back.astype(int) - scene(3, 1)[0]).mean() < 3
    for place in (0, 4, -1):
        with pytest.raises(InputError, match="no such preview"):
            preview.load(path, place)
    whole = path.read_bytes()
    for broken in (b"", whole[:50], whole[:-30], whole[:100] + b"\x00" * 40 + whole[140:]):
        path.write_bytes(broken)
        with pytest.raises(StorageError, match="made again"):
            preview.load(path, 1)
    path.unlink()
    with pytest.raises(InputError, match="no such preview"):
        preview.load(path, 1)
