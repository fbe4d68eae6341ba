"""Frames into video files: H.264 in MP4, VP9 in WebM and GIF, whole or not at all, every frame counted again by decoding."""

from __future__ import annotations

import contextlib
import struct
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from fractions import Fraction
from pathlib import Path

import av
import cv2
import numpy as np

from tv2tv_core.errors import StorageError
from tv2tv_core.media.atomic import atomic_file, shown, storage_error
from tv2tv_core.media.captions import Cue, vtt_text

CRF = 16
"""H.264 quality: visually lossless on small frames, where every block is detail."""
_BT709, _BT601, _LIMITED_RANGE = 1, 6, 1
_STYLES = "Name, Fontname, Fontsize, PrimaryColour, Bold, Alignment"
# What both subtitle encoders read before they open: one plain style.
_SUBTITLE_HEADER = (
    f"[Script Info]\nScriptType: v4.00+\n[V4+ Styles]\nFormat: {_STYLES}\nStyle: Default,Arial,16,&Hffffff,0,2\n"
    "[Events]\nFormat: Layer, Start, End, Style, Name, MarginL, MarginR, MarginV, Effect, Text\n"
).encode()


@dataclass(frozen=True)
class Kind:
    """One kind of video file by the names of FFmpeg."""

    container: str
    codec: str
    subtitles: str
    options: Mapping[str, str]


MP4 = Kind(
    "mp4",
    "libx264",
    "mov_text",
    # With its macroblock tree x264 gave other bytes for the same frames in 2 of 100 runs; without, in none of 400.
    {"crf": str(CRF), "preset": "medium", "x264-params": "mbtree=0"},
)
WEBM = Kind(
    "webm",
    "libvpx-vp9",
    "webvtt",
    {"crf": "20", "b": "0", "deadline": "good", "cpu-used": "4", "row-mt": "1"},
)


@dataclass(frozen=True)
class Extras:
    """What goes into a video file besides its frames: container tags, and captions that players switch on and off."""

    tags: Mapping[str, str] = field(default_factory=dict)
    cues: Sequence[Cue] = ()


def write_video(
    path: Path,
    kind: Kind,
    pictures: Iterable[np.ndarray],
    fps: Fraction,
    extras: Extras = Extras(),
    check: Callable[[], None] = lambda: None,
) -> int:
    """Write `pictures` (uint8 HWC RGB, all of one even size) as yuv420p video at `path` and return their number.

    The file appears only when complete and when decoding counts every frame. Raises StorageError when the disk refuses,
    ValueError for pictures that do not fit, and whatever `check` (called while frames are counted) or `pictures` raise.
    """
    return _whole(path, lambda temporary: _encode(temporary, kind, pictures, fps, extras), check)


def write_gif(
    path: Path, pictures: Callable[[], Iterator[np.ndarray]], fps: Fraction, check: Callable[[], None] = lambda: None
) -> int:
    """Write an endless GIF and return the number of its frames; `pictures` is called twice (colours first, then frames).

    A GIF counts time in 1/100 s: each frame ends at the hundredth nearest to its true end, so the length is right.
    Raises as `write_video` does.
    """
    return _whole(path, lambda temporary: _encode_gif(temporary, pictures, fps), check)


def count_frames(path: str | Path, check: Callable[[], None] = lambda: None) -> int:
    """Decode the whole video and count its frames; `check` is called at each and may raise."""
    count = 0
    with av.open(str(path)) as container:
        for _ in container.decode(video=0):
            check()
            count += 1
    return count


def enlarge(image: np.ndarray, scale: int) -> np.ndarray:
    """`image` (uint8 HWC) `scale` times as wide and as high, smoothly."""
    if scale == 1:
        return np.ascontiguousarray(image)
    height, width = image.shape[:2]
    return cv2.resize(image, (width * scale, height * scale), interpolation=cv2.INTER_CUBIC)


def _whole(path: Path, encode: Callable[[Path], int], check: Callable[[], None]) -> int:
    with atomic_file(path) as temporary:
        try:
            count = encode(temporary)
            found = count_frames(temporary, check)
        except av.FFmpegError as error:
            # PyAV's own classes carry the errno of the disk, but not all of them are OSErrors.
            raise storage_error(path, OSError(error.errno, error.strerror)) from error
        if found != count:
            raise StorageError(f"Cannot write {shown(path)}: only {found} of {count} frames arrived. Check the disk.")
    return count


def _encode(path: Path, kind: Kind, pictures: Iterable[np.ndarray], fps: Fraction, extras: Extras) -> int:
    # The default clock of an MP4 ticks in milliseconds, which cannot express whole frames at 17.5 per second.
    mp4_options = {"movflags": "+faststart", "movie_timescale": str(1000 * fps.numerator)}
    with av.open(str(path), "w", format=kind.container, options=mp4_options if kind is MP4 else {}) as container:
        container.metadata.update(extras.tags)
        count, size, stream = 0, (), None
        for picture in pictures:
            if stream is None:
                size, stream = picture.shape, _add_stream(container, kind, picture.shape, fps)
                _add_cues(container, kind, extras.cues, fps)
            if picture.shape != size:
                raise ValueError(f"frame {count} is {picture.shape}, the first one was {size}")
            frame = av.VideoFrame.from_ndarray(picture, format="rgb24")
            frame.pts = count
            container.mux(stream.encode(frame))
            count += 1
        if stream is None:
            raise ValueError("a video needs at least one frame")
        container.mux(stream.encode(None))
    return count


def _add_stream(container: av.container.OutputContainer, kind: Kind, shape: tuple[int, ...], fps: Fraction) -> av.VideoStream:
    height, width = shape[:2]
    if height % 2 or width % 2:
        raise ValueError(f"yuv420p needs even sizes, not {width} x {height}")
    stream = container.add_stream(kind.codec, rate=fps, options=dict(kind.options))
    stream.width, stream.height, stream.pix_fmt = width, height, "yuv420p"
    context = stream.codec_context
    context.time_base = 1 / fps
    # Said in the file, so that players do not guess colours from the size.
    context.colorspace, context.color_range = _BT601, _LIMITED_RANGE
    context.color_primaries = context.color_trc = _BT709
    return stream


def _add_cues(container: av.container.OutputContainer, kind: Kind, cues: Sequence[Cue], fps: Fraction) -> None:
    """A subtitle track with all cues. Their packets are made here: the encoders would read markup in the lines."""
    if not cues:
        return
    tick = Fraction(1, fps.numerator)
    stream = container.add_stream(kind.subtitles)
    stream.codec_context.subtitle_header = _SUBTITLE_HEADER
    stream.time_base = tick
    stream.metadata.update({"language": "und", "title": "Plan"})
    container.start_encoding()
    for cue in cues:
        text = cue.text.encode("utf-8", "replace") if kind is MP4 else vtt_text(cue.text).encode("utf-8", "replace")
        packet = av.Packet(struct.pack(">H", len(text)) + text if kind is MP4 else text)
        packet.stream, packet.time_base = stream, tick
        packet.pts = packet.dts = cue.start * fps.denominator
        packet.duration = (cue.end - cue.start) * fps.denominator
        packet.is_keyframe = True
        container.mux(packet)


def _encode_gif(path: Path, pictures: Callable[[], Iterator[np.ndarray]], fps: Fraction) -> int:
    palette = _palette(pictures())
    graph = av.filter.Graph()
    count, source, stream = 0, None, None
    with av.open(str(path), "w", format="gif", options={"loop": "0"}) as container:
        for picture in pictures():
            if source is None:
                source = _gif_filters(graph, picture.shape, palette)
                stream = container.add_stream("gif", rate=fps)
                stream.height, stream.width, stream.pix_fmt = *picture.shape[:2], "pal8"
                stream.codec_context.time_base = Fraction(1, 100)
            frame = av.VideoFrame.from_ndarray(picture, format="rgb24")
            frame.pts, frame.time_base = count, 1 / fps
            source.push(frame)
            indexed = graph.pull()
            indexed.pts, indexed.time_base = round(100 * count / fps), Fraction(1, 100)
            indexed.duration = round(100 * (count + 1) / fps) - indexed.pts
            container.mux(stream.encode(indexed))
            count += 1
        if stream is None:
            raise ValueError("a video needs at least one frame")
        container.mux(stream.encode(None))
    return count


def _palette(pictures: Iterable[np.ndarray]) -> av.VideoFrame:
    """The 256 colours that suit a whole clip, as FFmpeg chooses them; its memory does not grow with the clip."""
    graph, source = av.filter.Graph(), None
    for number, picture in enumerate(pictures):
        if source is None:
            height, width = picture.shape[:2]
            source = graph.add_buffer(width=width, height=height, format="rgb24", time_base=Fraction(1, 100))
            graph.link_nodes(source, graph.add("palettegen"), graph.add("buffersink")).configure()
        frame = av.VideoFrame.from_ndarray(picture, format="rgb24")
        frame.pts = number
        source.push(frame)
        # A graph works only when it is asked for something; until then it would keep every frame.
        with contextlib.suppress(av.error.BlockingIOError):
            graph.pull()
    if source is None:
        raise ValueError("a video needs at least one frame")
    source.push(None)
    return graph.pull()


def _gif_filters(graph: av.filter.Graph, shape: tuple[int, ...], palette: av.VideoFrame) -> av.filter.context.FilterContext:
    """A graph that gives each frame pushed into the returned node the colours of `palette`."""
    tick = Fraction(1, 100)
    source = graph.add_buffer(width=shape[1], height=shape[0], format="rgb24", time_base=tick)
    colours = graph.add_buffer(width=palette.width, height=palette.height, format=palette.format.name, time_base=tick)
    # Ordered dither stands still where the picture does, so that only what moves is stored again.
    use = graph.add("paletteuse", "dither=bayer:bayer_scale=3:diff_mode=rectangle")
    sink = graph.add("buffersink")
    source.link_to(use, 0, 0)
    colours.link_to(use, 0, 1)
    use.link_to(sink)
    graph.configure()
    palette.pts = 0
    colours.push(palette)
    colours.push(None)
    return source
