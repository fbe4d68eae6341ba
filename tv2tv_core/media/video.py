"""Video in and out: H.264 files written whole or not at all, and the first or last frames of a person's own video."""

from __future__ import annotations

import contextlib
from collections import deque
from collections.abc import Iterable, Iterator, Mapping
from fractions import Fraction
from pathlib import Path

import av
import numpy as np

from tv2tv_core.errors import InputError
from tv2tv_core.media.atomic import shown
from tv2tv_core.media.encode import MP4, Extras, count_frames, enlarge, write_video
from tv2tv_core.media.images import check_file

__all__ = ["VIDEO_SUFFIXES", "count_frames", "read_frames", "read_metadata", "write_mp4"]
VIDEO_SUFFIXES = frozenset({".mp4", ".mov", ".mkv", ".webm", ".avi", ".m4v", ".mpg", ".mpeg", ".ogv", ".ts"})
MAX_VIDEO_BYTES = 4 * 2**30
MAX_VIDEO_PIXELS = 8192 * 4320
MAX_DECODED_FRAMES = 20_000
"""How far into a video without a working index we are ready to decode: ten minutes at 30 frames per second."""
_NO_FRAME = "{} has no readable frame: it may be cut off. Choose another video."
# FFmpeg also reads playlists, which name other files and addresses, and shows any text file as a terminal.
_SAFE = {"protocol_whitelist": "file", "format_whitelist": "mov,mp4,m4a,3gp,matroska,webm,avi,mpeg,mpegts,ogg"}


def write_mp4(
    path: str | Path,
    chunks: Iterable[np.ndarray],
    fps: Fraction,
    metadata: Mapping[str, str] | None = None,
    scale: int = 4,
) -> int:
    """Write `chunks` (uint8 THWC RGB each, all of one size) as H.264, yuv420p, fast start; return the frame count.

    Frames are enlarged `scale` times (whole number ≥ 1; width and height times scale must be even). The file appears
    at `path` only when complete and when decoding counts every frame. Raises StorageError when the disk refuses and
    ValueError for frames that do not fit.
    """
    if scale < 1:
        raise ValueError(f"scale is {scale}; it must be 1 or more")
    large = (enlarge(image, scale) for image in _frames(chunks))
    return write_video(Path(path), MP4, large, fps, Extras(metadata or {}))


def read_metadata(path: str | Path) -> dict[str, str]:
    """Container tags of a video, such as `comment`. Raises InputError when it is unreadable."""
    path = Path(path)
    check_file(path, MAX_VIDEO_BYTES)
    with _opened(path) as container:
        return dict(container.metadata)


def read_frames(path: str | Path, count: int, from_end: bool = False, fps: Fraction | None = None) -> np.ndarray:
    """The first or last `count` frames of a video as uint8 THWC RGB, upright; fewer when it is shorter, never none.

    With `fps`, frames are picked that far apart in time, so that speed is kept when the video has another frame rate.
    Raises InputError when the file is missing, unreadable, has no video or no frame, or is above the limits.
    """
    path = Path(path)
    check_file(path, MAX_VIDEO_BYTES)
    with _opened(path) as container:
        if not container.streams.video:
            raise InputError(f"{shown(path.name)} has no video in it: choose a file with pictures.")
        stream = container.streams.video[0]
        if stream.codec_context is None:  # damaged, or of a kind that nothing here can decode
            raise InputError(_NO_FRAME.format(shown(path.name)))
        if stream.width * stream.height > MAX_VIDEO_PIXELS:
            raise InputError(f"{shown(path.name)} is {stream.width} x {stream.height}; at most 8192 x 4320 is allowed.")
        stream.thread_type = "AUTO"
        step = max(1.0, float(stream.average_rate / fps)) if fps and stream.average_rate else 1.0
        span = min(64, round((count - 1) * step) + 1)
        found = _last(path, container, stream, span) if from_end else _first(container, stream, span)
        picked = _spaced(found, count, step, from_end)
        frames = [_upright(frame) for frame in picked]
    if not frames:
        raise InputError(_NO_FRAME.format(shown(path.name)))
    return np.stack([frame for frame in frames if frame.shape == frames[-1].shape])


def _frames(chunks: Iterable[np.ndarray]) -> Iterator[np.ndarray]:
    for chunk in chunks:
        if chunk.ndim != 4 or chunk.shape[-1] != 3 or chunk.dtype != np.uint8:
            raise ValueError(f"expected uint8 THWC frames, got {chunk.dtype} {chunk.shape}")
        yield from chunk


@contextlib.contextmanager
def _opened(path: Path) -> Iterator[av.container.InputContainer]:
    """The container, with FFmpeg's complaints turned into words."""
    try:
        with av.open(str(path), options=_SAFE, metadata_errors="replace") as container:
            yield container
    except av.error.EOFError as error:
        raise InputError(_NO_FRAME.format(shown(path.name))) from error
    except (av.FFmpegError, OSError, ValueError) as error:
        name = shown(path.name)
        raise InputError(f"{name} is not a readable video (MP4, MOV, MKV, WebM): convert it to MP4.") from error


def _first(container: av.container.InputContainer, stream: av.VideoStream, span: int) -> list[av.VideoFrame]:
    found: list[av.VideoFrame] = []
    for frame in container.decode(stream):
        found.append(frame)
        if len(found) == span:
            break
    return found


def _last(
    path: Path, container: av.container.InputContainer, stream: av.VideoStream, span: int
) -> list[av.VideoFrame]:
    """The last `span` frames: from a key frame near the end where the index works, else by decoding everything."""
    if stream.duration and stream.time_base:
        back = int(10 / stream.time_base)
        with contextlib.suppress(av.FFmpegError):
            container.seek((stream.start_time or 0) + max(0, stream.duration - back), stream=stream)
            tail = _tail(path, container, stream, span)
            if len(tail) == span:
                return tail
        container.seek(0)
    return _tail(path, container, stream, span)


def _tail(
    path: Path, container: av.container.InputContainer, stream: av.VideoStream, span: int
) -> list[av.VideoFrame]:
    kept: deque[av.VideoFrame] = deque(maxlen=span)
    for number, frame in enumerate(container.decode(stream)):
        if number >= MAX_DECODED_FRAMES:
            name = shown(path.name)
            raise InputError(f"{name} is too long to search for its end: cut out the last minute and use that.")
        kept.append(frame)
    return list(kept)


def _spaced(frames: list[av.VideoFrame], count: int, step: float, from_end: bool) -> list[av.VideoFrame]:
    offsets = [round(number * step) for number in range(count)]
    if from_end:
        return [frames[-1 - offset] for offset in reversed(offsets) if offset < len(frames)]
    return [frames[offset] for offset in offsets if offset < len(frames)]


def _upright(frame: av.VideoFrame) -> np.ndarray:
    # Phones store the picture as the sensor saw it and a rotation beside it (degrees, counter-clockwise).
    return np.ascontiguousarray(np.rot90(frame.to_ndarray(format="rgb24"), round(frame.rotation / 90)))
