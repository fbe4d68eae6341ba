"""Plan lines as captions: cues on the clock of the clip, and the two subtitle formats that people edit, SRT and WebVTT."""

from __future__ import annotations

from bisect import bisect_right
from collections.abc import Sequence
from dataclasses import dataclass
from fractions import Fraction
from itertools import pairwise

from tv2tv_core.media.clip_view import ClipView, beats

# SRT has no way to escape: players read <tags>, {tags} and backslashes. These look alike and are never read as markup.
_SRT_SAFE = str.maketrans({"<": "＜", ">": "＞", "{": "｛", "}": "｝", "\\": "＼"})
_VTT_SAFE = str.maketrans({"&": "&amp;", "<": "&lt;", ">": "&gt;"})


@dataclass(frozen=True)
class Cue:
    """One caption: frames `start` up to but not including `end`, and what stands there (line breaks allowed)."""

    start: int
    end: int
    text: str


def cues(view: ClipView) -> list[Cue]:
    """One cue for every plan line in force; chunks before the first line have none."""
    found = [(beat, plain(beat.plan)) for beat in beats(view)]
    return [Cue(beat.start, beat.end, text) for beat, text in found if text]


def cues_of_two(left: ClipView, right: ClipView) -> list[Cue]:
    """Cues for two takes in one picture: each has one row per take, `name: plan line`."""
    sides = [(plain(view.name), cues(view)) for view in (left, right)]
    edges = sorted({edge for _, side in sides for cue in side for edge in (cue.start, cue.end)})
    found = []
    for start, end in pairwise(edges):
        told = [(name, _at(side, start)) for name, side in sides]
        rows = [f"{name}: {cue.text}" for name, cue in told if cue is not None]
        found += [Cue(start, end, "\n".join(rows))] if rows else []
    return found


def to_srt(cues: Sequence[Cue], fps: Fraction) -> str:
    """The cues as a SubRip file; what players would take for markup is replaced by letters that look alike."""
    rows = [
        f"{number}\n{_clock(cue.start / fps, ',')} --> {_clock(cue.end / fps, ',')}\n{cue.text.translate(_SRT_SAFE)}\n"
        for number, cue in enumerate(cues, 1)
    ]
    return "\n".join(rows)


def to_vtt(cues: Sequence[Cue], fps: Fraction) -> str:
    """The cues as a WebVTT file."""
    rows = ["WEBVTT\n"] + [
        f"{_clock(cue.start / fps, '.')} --> {_clock(cue.end / fps, '.')}\n{vtt_text(cue.text)}\n" for cue in cues
    ]
    return "\n".join(rows)


def vtt_text(text: str) -> str:
    """The text of one cue as WebVTT writes it."""
    return text.translate(_VTT_SAFE)


def plain(text: str) -> str:
    """`text` on one line without anything unprintable: what is drawn or written as a caption."""
    return " ".join("".join(letter if letter.isprintable() else " " for letter in text).split())


def time_code(seconds: Fraction) -> str:
    """A moment for people: minutes, seconds and tenths, such as 00:03.2."""
    tenths = round(seconds * 10)
    return f"{tenths // 600:02d}:{tenths // 10 % 60:02d}.{tenths % 10}"


def _at(side: Sequence[Cue], frame: int) -> Cue | None:
    """The cue that stands at a frame; cues are in order and do not overlap."""
    place = bisect_right(side, frame, key=lambda cue: cue.start) - 1
    return side[place] if place >= 0 and frame < side[place].end else None


def _clock(seconds: Fraction, point: str) -> str:
    thousandths = round(seconds * 1000)
    minutes, rest = divmod(thousandths, 60_000)
    return f"{minutes // 60:02d}:{minutes % 60:02d}:{rest // 1000:02d}{point}{rest % 1000:03d}"
