"""Captions: one cue per plan line, on the clock of the clip, and no text can break or forge a cue."""

from __future__ import annotations

import html
import re
import unicodedata
from fractions import Fraction
from pathlib import Path

import av
from hypothesis import given
from hypothesis import strategies as st

from tests.media.clip_views import FPS, HOSTILE, clip_view
from tv2tv_core.media.captions import Cue, cues, cues_of_two, plain, time_code, to_srt, to_vtt

TIME = r"\d\d:[0-5]\d:[0-5]\d[,.]\d{3}"


def parsed(text: str) -> list[tuple[str, str, str]]:
    """Start, end and text of every cue, as a player reads the file: blocks between empty lines."""
    found = []
    for block in re.split(r"\n\n+", text.strip("\n")):
        rows = [row for row in block.split("\n") if row != "WEBVTT"]
        rows = rows[1:] if rows and rows[0].isdigit() and len(rows) > 1 and "-->" in rows[1] else rows
        if any(rows):
            times = re.fullmatch(rf"({TIME}) --> ({TIME})", rows[0])
            assert times, rows
            found.append((times[1], times[2], "\n".join(rows[1:])))
    return found


def test_a_line_over_several_chunks_is_one_cue() -> None:
    view = clip_view(["", "run", "run", "jump", "run", ""])
    assert cues(view) == [Cue(4, 12, "run"), Cue(12, 16, "jump"), Cue(16, 20, "run")]


def test_times_are_those_of_the_frames() -> None:
    view = clip_view(["run", "run", "jump"])
    assert to_srt(cues(view), FPS) == ("1\n00:00:00,000 --> 00:00:00,457\nrun\n\n2\n00:00:00,457 --> 00:00:00,686\njump\n")
    assert to_vtt(cues(view), FPS) == ("WEBVTT\n\n00:00:00.000 --> 00:00:00.457\nrun\n\n00:00:00.457 --> 00:00:00.686\njump\n")
    [late] = parsed(to_vtt([Cue(0, 17 * 3600 * 35 // 2 + 1, "x")], FPS))
    assert late[1].startswith("17:00:00")


def test_hostile_lines_stay_text(tmp_path: Path) -> None:
    told = cues(clip_view(HOSTILE))
    assert len(told) == len(HOSTILE)
    texts = [plain(line) for line in HOSTILE]
    assert [html.unescape(text) for _, _, text in parsed(to_vtt(told, FPS))] == texts
    srt = to_srt(told, FPS)
    # The letters that look alike are the same letters to Unicode.
    assert [unicodedata.normalize("NFKC", text) for *_, text in parsed(srt)] == [
        unicodedata.normalize("NFKC", text) for text in texts
    ]
    (tmp_path / "a.srt").write_text(srt, encoding="utf-8")
    with av.open(str(tmp_path / "a.srt")) as container:
        [stream] = container.streams.subtitles
        shown = [part.dialogue.decode() for packet in container.demux(stream) for part in stream.decode(packet)]
    # What FFmpeg's own reader hands to a renderer: no style of ours, no line break of ours.
    assert len(shown) == len(HOSTILE)
    assert not any(re.search(r"\{\\|\\N|\\h", text) for text in shown)


@given(lines=st.lists(st.text(max_size=40), min_size=1, max_size=6))
def test_any_text_gives_files_that_parse(lines: list[str]) -> None:
    told = cues(clip_view(lines))
    for text in (to_srt(told, FPS), to_vtt(told, FPS)):
        found = parsed(text)
        assert len(found) == len(told)
        assert [start for start, _, _ in found] == sorted(start for start, _, _ in found)
        assert all(text and "-->" not in text and "<" not in text for *_, text in found)


def test_two_takes_share_their_cues() -> None:
    left = clip_view(["run", "run", "jump"], name="Take 1")
    right = clip_view(["", "stand"], name="Take 2")
    assert cues_of_two(left, right) == [
        Cue(0, 4, "Take 1: run"),
        Cue(4, 8, "Take 1: run\nTake 2: stand"),
        Cue(8, 12, "Take 1: jump"),
    ]


def test_time_codes_are_short() -> None:
    assert [time_code(Fraction(tenths, 100)) for tenths in (0, 322, 326, 6000, 61234)] == [
        "00:00.0",
        "00:03.2",
        "00:03.3",
        "01:00.0",
        "10:12.3",
    ]
