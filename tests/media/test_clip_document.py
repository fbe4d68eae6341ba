"""The document in a clip: what goes in comes out, from the studio and from the command line, and nothing false gets through."""

from __future__ import annotations

import copy
import json
import zipfile
from collections.abc import Callable
from dataclasses import dataclass, field
from fractions import Fraction
from pathlib import Path

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from PIL import Image

from tests.fakes import FakeBackend
from tests.media.clip_views import clip_view
from tv2tv_core.data.starts import list_starts, load_start
from tv2tv_core.errors import InputError
from tv2tv_core.media import start_frames
from tv2tv_core.media.clip import ClipRequest, make_clip
from tv2tv_core.media.clip_document import ClipDocument, NoDocument, make_document, read_document
from tv2tv_core.media.clip_view import ClipView
from tv2tv_core.media.export import ExportRequest, export
from tv2tv_core.media.video import write_mp4
from tv2tv_core.presets import Preset

FPS = Fraction(35, 2)
SETTINGS = {"seconds": 8.0, "seed": 2**63 - 1, "steps": 4, "guidance": 1.5, "temperature": 0.8, "top_p": 0.9}


@dataclass
class Facts:
    """A project, as far as a document looks at it."""

    start: str = "own: desk.png"
    prompt: str = "a base, é 漢"
    preset: str = "embedded"
    backend: str = "native"
    model_hash: str = "ab" * 32
    fps: Fraction = FPS
    chunk_frames: int = 4
    width: int = 40
    height: int = 24
    settings: dict[str, object] = field(default_factory=lambda: dict(SETTINGS))


@dataclass
class Chunk:
    """A chunk record, as far as a document looks at it."""

    index: int
    line: str | None = None
    source: str | None = None
    asked: str | None = None
    seed: int | None = 7
    steps: int = 4
    guidance: float = 1.5
    temperature: float = 0.8
    top_p: float = 0.9
    stream: str = "main"


PATH = [
    Chunk(-1, seed=None),
    Chunk(0),
    Chunk(1, "run <b>", "model"),
    Chunk(2, stream="abc", steps=8),
    Chunk(3, "jump", "person", asked="jump", stream="abc"),
    Chunk(4, asked="jump", stream="abc", seed=2**62),
]


def own_start(still: bool = False) -> np.ndarray:
    frames = np.random.default_rng(0).integers(0, 255, (4, 24, 40, 3), dtype=np.uint8)
    return np.repeat(frames[:1], 4, 0) if still else frames


def document(**changes: object) -> dict[str, object]:
    return make_document(Facts(), PATH, "Take 1", own_start) | changes


def exported(folder: Path, value: dict[str, object], kind: str = "mp4") -> Path:
    """A small clip with `value` as its document."""
    view = clip_view(["run"])
    view = ClipView(view.name, view.fps, view.width, view.height, 4, view.chunks, value)
    return export(view, ExportRequest(kind, scale=1), folder / f"a.{'zip' if kind == 'png' else kind}")


def read_json(folder: Path, value: object) -> ClipDocument:
    (folder / "a.json").write_text(json.dumps(value), encoding="utf-8")
    return read_document(folder / "a.json")


def refusal(call: Callable[[], object], kind: type[InputError] = InputError) -> str:
    with pytest.raises(kind) as caught:
        call()
    text = str(caught.value)
    assert "\n" not in text and len(text) < 400 and text.isprintable()
    return text


@pytest.mark.parametrize("kind", ["mp4", "webm", "png"])
def test_what_goes_in_comes_out(tmp_path: Path, kind: str) -> None:
    found = read_document(exported(tmp_path, document(), kind))
    assert (found.prompt, found.start, found.take) == ("a base, é 漢", "own: desk.png", "Take 1")
    assert (found.preset, found.backend, found.model_hash) == ("embedded", "native", "ab" * 32)
    assert (found.fps, found.size, found.seed) == (FPS, (40, 24), 2**63 - 1)
    assert found.settings == SETTINGS
    assert np.array_equal(found.start_frames, own_start())
    assert [(chunk.plan, chunk.author, chunk.line, chunk.asked) for chunk in found.chunks] == [
        ("", None, None, None),
        ("run <b>", "model", "run <b>", None),
        ("run <b>", "model", None, None),
        ("jump", "person", "jump", "jump"),
        ("jump", "person", None, "jump"),
    ]
    assert [chunk.stream for chunk in found.chunks] == ["main", "main", "abc", "abc", "abc"]
    assert [chunk.seed for chunk in found.chunks] == [7, 7, 7, 7, 2**62]
    assert found.stream == "abc"
    assert found.lines == {1: "run <b>", 2: "run <b>", 3: "jump", 4: "jump"}


def test_the_start_is_kept_only_when_it_does_not_ship(tmp_path: Path) -> None:
    name = list_starts()[0]
    shipped = load_start(name).frames
    size = {"width": 160, "height": 96}
    plain = make_document(Facts(name, **size), PATH, "Take 1", lambda: shipped)
    assert "start_frames" not in plain
    assert np.array_equal(read_json(tmp_path, plain).start_frames, shipped)
    other = make_document(Facts(name, **size), PATH, "Take 1", lambda: 255 - shipped)
    assert np.array_equal(read_json(tmp_path, other).start_frames, 255 - shipped)


def test_a_still_start_is_kept_once() -> None:
    assert len(document()["start_frames"]) == 4
    assert len(make_document(Facts(), PATH, "Take 1", lambda: own_start(still=True))["start_frames"]) == 1


def test_a_start_that_ends_still_is_kept_without_the_filling(tmp_path: Path) -> None:
    frames = np.concatenate([own_start()[:2], own_start()[1:2], own_start()[1:2]])
    value = make_document(Facts(), PATH, "Take 1", lambda: frames)
    assert len(value["start_frames"]) == 2
    assert np.array_equal(read_json(tmp_path, value).start_frames, frames)


def test_of_a_start_that_is_too_large_the_last_frames_are_kept(monkeypatch: pytest.MonkeyPatch) -> None:
    pictures = document()["start_frames"]
    monkeypatch.setattr(start_frames, "MAX_PICTURES", sum(len(one) for one in pictures[-2:]))
    assert document()["start_frames"] == pictures[-2:]
    monkeypatch.setattr(start_frames, "MAX_PICTURES", 10)
    assert document()["start_frames"] == pictures[-1:]
    kept = start_frames.unpack_start(pictures[-2:], 4, (40, 24))
    assert np.array_equal(kept, own_start()[[2, 3, 3, 3]])


def test_a_still_start_comes_back_as_a_whole_chunk(tmp_path: Path) -> None:
    value = make_document(Facts(), PATH, "Take 1", lambda: own_start(still=True))
    assert np.array_equal(read_json(tmp_path, value).start_frames, own_start(still=True))


def test_a_ten_minute_clip_comes_back(tmp_path: Path) -> None:
    path = [Chunk(-1)] + [Chunk(k, f"line {k} " + "é" * 100, "person", f"line {k}", stream="s" * 16) for k in range(2600)]
    found = read_document(exported(tmp_path, make_document(Facts(), path, "Take 1", own_start)))
    assert len(found.chunks) == 2600 and found.chunks[-1].line == "line 2599 " + "é" * 100


def made(folder: Path, start: str | None = None) -> Path:
    """A clip as the command line writes it."""
    preset = Preset("fake", "Fake", Path("none.safetensors"), {"steps": 2})
    if start is None:
        start = str(folder / "desk.png")
        Image.fromarray(own_start()[0]).save(start)
    plan = ["run forward", "", "jump", "jump"]
    request = ClipRequest(preset, folder / "made.mp4", start, "a base", plan, {"seed": 5})
    return make_clip(request, load=lambda preset: FakeBackend()).out


def test_clips_from_the_command_line_read_alike(tmp_path: Path) -> None:
    found = read_document(made(tmp_path))
    assert (found.prompt, found.preset, found.seed, found.settings["steps"]) == ("a base", "fake", 5, 2)
    assert found.start == "desk.png" and np.array_equal(found.start_frames, np.repeat(own_start()[:1], 4, 0))
    assert len(found.chunks) == 4 and found.stream == "main"
    first = found.chunks[0]
    assert (first.plan, first.author, first.asked) == ("run forward", "person", "run forward")
    assert found.lines[0] == "run forward" and found.lines[2] == found.lines[3] == "jump"
    assert read_document(tmp_path / "made.json").chunks == found.chunks


def test_clips_from_before_starts_were_kept_still_read(tmp_path: Path) -> None:
    made(tmp_path)
    value = json.loads((tmp_path / "made.json").read_text(encoding="utf-8"))
    del value["start_frames"]
    found = read_json(tmp_path, value)
    assert found.start_frames is None and len(found.chunks) == 4


def test_a_start_that_ships_comes_back_from_the_command_line(tmp_path: Path) -> None:
    found = read_document(made(tmp_path, list_starts()[0]))
    assert found.start == list_starts()[0] and found.start_frames is not None


def test_files_without_a_document_are_told_apart(tmp_path: Path) -> None:
    frames = [np.full((4, 24, 40, 3), 90, np.uint8)]
    write_mp4(tmp_path / "plain.mp4", frames, FPS)
    write_mp4(tmp_path / "note.mp4", frames, FPS, {"comment": "filmed at home"})
    write_mp4(tmp_path / "other.mp4", frames, FPS, {"comment": '{"format": "another tool", "version": 1}'})
    (tmp_path / "list.json").write_text("[1, 2, 3]")
    with zipfile.ZipFile(tmp_path / "other.zip", "w") as archive:
        archive.writestr("letter.txt", "hello")
    for name in ("plain.mp4", "note.mp4", "other.mp4", "list.json", "other.zip"):
        assert "holds no TV2TV clip" in refusal(lambda name=name: read_document(tmp_path / name), NoDocument)


def test_damaged_files_are_refused(tmp_path: Path) -> None:
    clip = exported(tmp_path, document())
    content = clip.read_bytes()
    (tmp_path / "cut.mp4").write_bytes(content[:500])
    (tmp_path / "empty.mp4").write_bytes(b"")
    (tmp_path / "altered.mp4").write_bytes(content.replace(b'"version": 1', b'"version"; 1'))
    (tmp_path / "cut.zip").write_bytes(exported(tmp_path, document(), "png").read_bytes()[:400])
    (tmp_path / "cut.json").write_text(json.dumps(document())[:-40])
    for name in ("cut.mp4", "empty.mp4", "altered.mp4", "cut.zip", "cut.json", "missing.mp4"):
        with pytest.raises(InputError) as caught:
            read_document(tmp_path / name)
        assert not isinstance(caught.value, NoDocument) and name in str(caught.value)


def test_a_huge_entry_in_an_archive_is_not_unpacked(tmp_path: Path) -> None:
    with zipfile.ZipFile(tmp_path / "a.zip", "w", zipfile.ZIP_DEFLATED) as archive:
        archive.writestr("document.json", b" " * (100 * 2**20))
    assert "at most" in refusal(lambda: read_document(tmp_path / "a.zip"))


def test_a_deep_document_is_refused(tmp_path: Path) -> None:
    (tmp_path / "a.json").write_text('{"format": "tv2tv-clip", "x": ' + "[" * 200_000 + "]" * 200_000 + "}")
    refusal(lambda: read_document(tmp_path / "a.json"))


WRONG = [
    ({"version": 2}, "newer"),
    ({"version": 0}, "version"),
    ({"version": True}, "version"),
    ({"prompt": ""}, "prompt"),
    ({"prompt": "x" * 501}, "501"),
    ({"prompt": "two\nlines"}, "prompt"),
    ({"prompt": None}, "prompt"),
    ({"start": "../../etc/passwd"}, "path"),
    ({"start": "C:\\secret.png"}, "path"),
    ({"start": "a\x00b"}, "start"),
    ({"preset": ["embedded"]}, "preset"),
    ({"model_hash": "f" * 1000}, "model_hash"),
    ({"seed": -1}, "seed"),
    ({"seed": 2**63}, "seed"),
    ({"seed": "x"}, "seed"),
    ({"settings": []}, "settings"),
    ({"settings": {"steps": 10**9}}, "steps"),
    ({"settings": {"guidance": "nan"}}, "guidance"),
    ({"fps": 0}, "frame rate"),
    ({"fps": "17.5"}, "frame rate"),
    ({"fps": 1e400}, "frame rate"),
    ({"size": [0, 24]}, "size"),
    ({"size": [10**9, 10**9]}, "size"),
    ({"size": "big"}, "size"),
    ({"chunk_frames": 10**9}, "frames"),
    ({"segments": {}}, "segments"),
    ({"segments": ["x"]}, "segments"),
    ({"segments": [{"type": "chunk", "index": 1}]}, "chunk"),
    ({"segments": [{"type": "chunk", "index": 0, "seed": -5}]}, "seed"),
    ({"segments": [{"type": "chunk", "index": 0, "stream": "x" * 65}]}, "stream"),
    ({"segments": [{"type": "chunk", "index": 0, "asked": "x" * 201}]}, "201"),
    ({"segments": [{"type": "text", "text": "x" * 201, "source": "model"}]}, "201"),
    ({"segments": [{"type": "text", "text": "a\nb", "source": "model"}]}, "text"),
    ({"segments": [{"type": "text", "text": "a", "source": "nobody"}]}, "nobody"),
    ({"start_frames": ["AAAA"]}, "PNG"),
    ({"start_frames": ["no base64!"]}, "PNG"),
    ({"start_frames": [5]}, "PNG"),
    ({"start_frames": [""] * 5}, "5 start frames"),
    ({"size": [41, 24]}, "pixels"),
]


@pytest.mark.parametrize(("changes", "words"), WRONG, ids=[f"{index}-{words}" for index, (_, words) in enumerate(WRONG)])
def test_values_that_cannot_be_are_refused(tmp_path: Path, changes: dict[str, object], words: str) -> None:
    if changes.get("fps") == float("inf"):
        (tmp_path / "a.json").write_text(json.dumps(document()).replace('"fps": 17.5', '"fps": 1e400'))
        assert words in refusal(lambda: read_document(tmp_path / "a.json"))
    else:
        assert words in refusal(lambda: read_json(tmp_path, document(**changes)))


@pytest.mark.parametrize("name", ["prompt", "start", "preset", "size", "fps"])
def test_values_that_are_missing_are_refused(tmp_path: Path, name: str) -> None:
    value = document()
    del value[name]
    refusal(lambda: read_json(tmp_path, value))


def test_names_from_later_are_left_out(tmp_path: Path) -> None:
    value = document(later={"x": 1})
    value["settings"] = {**SETTINGS, "later": 5}
    assert read_json(tmp_path, value).settings == SETTINGS


ANYTHING = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats() | st.text(max_size=20),
    lambda inner: st.lists(inner, max_size=4) | st.dictionaries(st.text(max_size=8), inner, max_size=4),
    max_leaves=8,
)


@settings(max_examples=150)
@given(data=st.data())
def test_an_altered_document_is_read_or_refused(tmp_path_factory: pytest.TempPathFactory, data: st.DataObject) -> None:
    value = copy.deepcopy(document())
    for _ in range(data.draw(st.integers(1, 3))):
        place: object = value
        while isinstance(place, dict | list) and place:
            key = data.draw(st.sampled_from(sorted(place) if isinstance(place, dict) else range(len(place))))
            if not isinstance(place[key], dict | list) or data.draw(st.booleans()):
                place[key] = data.draw(ANYTHING)
                break
            place = place[key]
    folder = tmp_path_factory.mktemp("altered")
    try:
        found = read_json(folder, value)
    except InputError as error:
        assert "\n" not in str(error)
        return
    assert isinstance(found, ClipDocument) and all(isinstance(line, str) for line in found.lines.values())


@settings(max_examples=40)
@given(data=st.data())
def test_a_damaged_clip_is_read_or_refused(tmp_path_factory: pytest.TempPathFactory, data: st.DataObject) -> None:
    folder = tmp_path_factory.mktemp("damaged")
    content = bytearray(exported(folder, document()).read_bytes())
    for _ in range(data.draw(st.integers(1, 8))):
        content[data.draw(st.integers(0, len(content) - 1))] = data.draw(st.integers(0, 255))
    (folder / "a.mp4").write_bytes(content)
    try:
        found = read_document(folder / "a.mp4")
    except InputError as error:
        assert "\n" not in str(error)
        return
    assert len(found.chunks) == 5
