"""Pictures in: whatever file a person brings is read within limits or refused with one line of words."""

from __future__ import annotations

import io
import struct
import zlib
from pathlib import Path

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from PIL import Image

from tv2tv_core.errors import InputError
from tv2tv_core.media.images import fit_frame, load_image


def gradient(height: int = 30, width: int = 50) -> np.ndarray:
    y, x = np.mgrid[0:height, 0:width]
    return np.stack([x * 255 // width, y * 255 // height, np.full_like(x, 77)], -1).astype(np.uint8)


def refusal(path: Path) -> str:
    with pytest.raises(InputError) as caught:
        load_image(path)
    assert "\n" not in str(caught.value)
    return str(caught.value)


@pytest.mark.parametrize("suffix", ["png", "bmp", "tiff", "ppm", "webp"])
def test_lossless_formats_come_back_exactly(tmp_path: Path, suffix: str) -> None:
    path = tmp_path / f"a.{suffix}"
    Image.fromarray(gradient()).save(path, **({"lossless": True} if suffix == "webp" else {}))
    np.testing.assert_array_equal(load_image(path), gradient())


def test_transparent_parts_lie_over_black(tmp_path: Path) -> None:
    pixels = np.zeros((2, 2, 4), np.uint8)
    pixels[..., :3] = 200
    pixels[0, :, 3] = 255
    Image.fromarray(pixels).save(tmp_path / "a.png")
    loaded = load_image(tmp_path / "a.png")
    assert loaded[0].tolist() == [[200] * 3] * 2 and loaded[1].tolist() == [[0] * 3] * 2


def test_a_palette_with_transparency_and_grey_and_cmyk_become_rgb(tmp_path: Path) -> None:
    for mode, name in (("P", "p.png"), ("L", "l.png"), ("1", "1.png"), ("LA", "la.png"), ("CMYK", "c.jpg")):
        Image.fromarray(gradient()).convert(mode).save(tmp_path / name)
        loaded = load_image(tmp_path / name)
        assert loaded.shape == (30, 50, 3) and loaded.dtype == np.uint8 and loaded.std() > 5


def test_sixteen_bits_keep_their_shades(tmp_path: Path) -> None:
    grey = np.linspace(0, 65535, 64).astype(np.uint16).reshape(1, 64).repeat(2, 0)
    Image.fromarray(grey).save(tmp_path / "a.png")
    loaded = load_image(tmp_path / "a.png")
    np.testing.assert_allclose(loaded[0, :, 0], np.linspace(0, 255, 64), atol=1)


def test_a_photograph_stands_upright(tmp_path: Path) -> None:
    exif = Image.Exif()
    exif[0x0112] = 6  # orientation: turn clockwise by a quarter
    Image.fromarray(gradient()).save(tmp_path / "a.png", exif=exif)
    np.testing.assert_array_equal(load_image(tmp_path / "a.png"), np.rot90(gradient(), -1))


def test_the_first_frame_of_an_animation_is_taken(tmp_path: Path) -> None:
    frames = [Image.new("RGB", (8, 8), colour) for colour in ("red", "blue")]
    frames[0].save(tmp_path / "a.gif", save_all=True, append_images=frames[1:])
    assert load_image(tmp_path / "a.gif")[0, 0].tolist() == [255, 0, 0]


def png(width: int, height: int) -> bytes:
    """A well-formed PNG header of any size with next to no data behind it."""

    def part(kind: bytes, data: bytes) -> bytes:
        return struct.pack(">I", len(data)) + kind + data + struct.pack(">I", zlib.crc32(kind + data))

    head = part(b"IHDR", struct.pack(">IIBBBBB", width, height, 8, 2, 0, 0, 0))
    return b"\x89PNG\r\n\x1a\n" + head + part(b"IDAT", zlib.compress(b"\0" * 1000)) + part(b"IEND", b"")


@pytest.mark.parametrize("size", [(8001, 8000), (10_000, 10_000), (60_000, 60_000), (2**31 - 1, 2**31 - 1)])
def test_a_huge_image_is_refused_before_its_pixels_are_read(tmp_path: Path, size: tuple[int, int]) -> None:
    (tmp_path / "bomb.png").write_bytes(png(*size))
    assert "64 megapixels" in refusal(tmp_path / "bomb.png")


def test_a_huge_file_is_refused_before_it_is_read(tmp_path: Path) -> None:
    path = tmp_path / "big.png"
    with open(path, "wb") as handle:
        handle.truncate(100 * 2**20 + 1)
    assert "100 MB" in refusal(path)


def test_what_is_no_image_is_refused_with_words(tmp_path: Path) -> None:
    (tmp_path / "text.png").write_text("I am a letter, not a picture.")
    (tmp_path / "empty.png").write_bytes(b"")
    (tmp_path / "cut.png").write_bytes(png(100, 100))
    (tmp_path / "folder.png").mkdir()
    (tmp_path / "vector.png").write_text("%!PS-Adobe-3.0 EPSF-3.0\n%%BoundingBox: 0 0 10 10\n")
    assert "not a readable image" in refusal(tmp_path / "text.png")
    assert "empty" in refusal(tmp_path / "empty.png")
    assert "not a readable image" in refusal(tmp_path / "cut.png")
    assert "not a readable image" in refusal(tmp_path / "vector.png")
    assert "not a file" in refusal(tmp_path / "folder.png")
    assert "cannot be found" in refusal(tmp_path / "missing.png")
    assert len(refusal(tmp_path / ("x" * 10_000))) < 300
    assert "cannot be found" in refusal(tmp_path / "nul\0.png")


def encoded(suffix: str) -> bytes:
    stream = io.BytesIO()
    Image.fromarray(gradient(12, 16)).save(stream, format=suffix)
    return stream.getvalue()


@settings(max_examples=60, deadline=None)
@given(kind=st.sampled_from(["PNG", "JPEG", "GIF", "BMP", "TIFF", "WEBP", "PPM"]), data=st.data())
def test_a_damaged_file_is_read_or_refused_but_never_crashes(tmp_path_factory, kind: str, data: st.DataObject) -> None:
    content = bytearray(encoded(kind))
    for _ in range(data.draw(st.integers(1, 6))):
        content[data.draw(st.integers(0, len(content) - 1))] = data.draw(st.integers(0, 255))
    path = tmp_path_factory.mktemp("damaged") / "a.png"
    path.write_bytes(content[: data.draw(st.integers(1, len(content)))])
    try:
        loaded = load_image(path)
    except InputError:
        return
    assert loaded.ndim == 3 and loaded.shape[2] == 3 and loaded.dtype == np.uint8


@pytest.mark.parametrize("size", [(96, 160), (1, 1), (1, 500), (500, 1), (333, 77), (1080, 1920)])
def test_a_fitted_frame_has_exactly_the_size_asked_for(size: tuple[int, int]) -> None:
    assert fit_frame(gradient(*size), 160, 96).shape == (96, 160, 3)


def test_fitting_keeps_the_middle_and_the_aspect() -> None:
    wide = np.zeros((96, 480, 3), np.uint8)
    wide[:, 160:320] = gradient(96, 160)
    np.testing.assert_array_equal(fit_frame(wide, 160, 96), gradient(96, 160))


def test_fitting_averages_areas() -> None:
    checker = np.indices((192, 320)).sum(0) % 2 * 255
    small = fit_frame(np.repeat(checker[..., None], 3, 2).astype(np.uint8), 160, 96)
    assert np.abs(small.astype(int) - 127).max() <= 1
