"""The report: every suite is in it, it needs nothing from outside, and a kill costs nothing that was finished."""

from __future__ import annotations

import json
import re
from html.parser import HTMLParser
from pathlib import Path

import pytest

from tests.evaluate.acting import FakeFutures
from tests.evaluate.recordings import Panning, write_episode
from tests.evaluate.test_codec_quality import Through
from tests.evaluate.test_interventions import quick_distance
from tests.fakes import FakeBackend
from tv2tv_core.errors import InputError, StorageError
from tv2tv_core.evaluate import interventions, suites
from tv2tv_core.evaluate.report import Extent, evaluate
from tv2tv_core.evaluate.results import FILE, Results
from tv2tv_core.presets import Preset

SMALL = Extent(
    windows=2,
    far_windows=1,
    codec_chunks=2,
    moments=2,
    late_moments=1,
    worded_moments=1,
    map_moments=1,
    rollouts=1,
    long_rollouts=1,
    reference_windows=2,
    stretches=2,
    stretch_chunks=3,
    horizons=(1, 2),
    rollout_chunks=9,
    long_chunks=20,
)
HOSTILE = '<script src="//evil.example/x.js">&"\''


class WithCodec(FakeBackend):
    """A fake of the usual size whose codec is perfect and whose lines are markup."""

    codec = given_codec = Through()

    def __init__(self) -> None:
        super().__init__(160, 96, line='<img src="//evil.example/y.png" onerror=alert(1)>')


def preset(name: str = "tiny") -> Preset:
    return Preset(name, "Tiny", Path("none.safetensors"), {"steps": 1})


def never(asked: Preset) -> FakeBackend:
    raise AssertionError("the backend is loaded only when there is something to evaluate")


@pytest.fixture(scope="module")
def world(tmp_path_factory: pytest.TempPathFactory) -> Path:
    root = tmp_path_factory.mktemp("world")
    for number in range(2):
        write_episode(root / "heldout" / f"room-{number}", Panning.make(chunks=24, seed=number))
    write_episode(root / "heldout_map" / "<b>hall", Panning.make(chunks=24, seed=5))
    return root


@pytest.fixture(scope="module", autouse=True)
def small_suites() -> object:
    """Two insertions are enough to see the plumbing, and any distance."""
    with pytest.MonkeyPatch.context() as patch:
        for module in (interventions, suites):
            patch.setattr(module, "INSERTIONS", (0, 4))
        patch.setattr(interventions, "lpips_to_first", quick_distance)
        yield


def run(world: Path, out: Path, **options: object) -> dict:
    options = {"load": lambda asked: WithCodec(), "futures": FakeFutures} | options
    return evaluate(preset(options.pop("name", "tiny")), world, out, SMALL, **options)


@pytest.fixture(scope="module")
def made(world: Path, tmp_path_factory: pytest.TempPathFactory, small_suites: object) -> tuple[dict, Path]:
    out = tmp_path_factory.mktemp("report")
    return run(world, out, name=HOSTILE), out


class Reader(HTMLParser):
    """Every tag with its attributes, and every tag that was opened and not closed."""

    VOID = {"meta", "img", "br"}

    def __init__(self) -> None:
        super().__init__()
        self.tags: list[tuple[str, dict[str, str | None]]] = []
        self.open: list[str] = []

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        self.tags.append((tag, dict(attrs)))
        if tag not in self.VOID:
            self.open.append(tag)

    def handle_startendtag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        self.tags.append((tag, dict(attrs)))

    def handle_endtag(self, tag: str) -> None:
        assert self.open.pop() == tag


def read(out: Path) -> tuple[Reader, str]:
    text = (out / "report.html").read_text(encoding="utf-8")
    reader = Reader()
    reader.feed(text)
    reader.close()
    return reader, text


def test_every_suite_has_figures(made: tuple[dict, Path]) -> None:
    result, out = made
    assert json.loads((out / "report.json").read_text()) == json.loads(json.dumps(result))
    at = result["interventions"]["heldout"]
    assert list(at) == ["0.0", "0.9"] and at["0.0"]["moments"] == 2 and at["0.9"]["moments"] == 1
    assert set(at["0.0"]["wordings"]) == {"canonical", "paraphrase"} and set(at["0.9"]["wordings"]) == {"canonical"}
    for figures in at["0.0"]["wordings"]["canonical"].values():
        assert figures["ceiling"]["mean"] == 1 and len(figures["per_action"]) == len(figures["confusion"]) == 14
    assert result["interventions"]["heldout_map"]["0.0"]["moments"] == 1
    scores = {(s["predictor"], s["horizon"], s["metric"]): s for s in result["prediction"]["heldout"]["scores"]}
    assert scores["truth through the codec", 1, "lpips"]["mean"] == 0
    assert scores["model", 1, "lpips"]["windows"] == 2 and scores["model", 2, "lpips"]["windows"] == 1
    assert result["codec"]["heldout"]["scores"]["sharpness"]["mean"] == 1
    rollouts = result["rollouts"]
    assert rollouts["clips"] == rollouts["long_clips"] == 1 and len(rollouts["against_real"]["brightness"]) == 2
    assert rollouts["frechet"]["made"] > rollouts["frechet"]["codec"] > 0
    language = result["language"]
    assert language["sampled"]["boundaries"] == 6 and language["sampled"]["valid"] == language["rollouts"]["valid"] == 0
    assert {row["unit"] for row in result["headline"]} >= {"share", "lpips", "distance"}
    assert result["data"]["splits"]["heldout"] | {"seeds": []} == {
        "episodes": 2, "chunks": 48, "maps": ["f1:E1M5"], "seeds": [],
    }  # fmt: skip


def test_the_page_needs_nothing_from_outside(made: tuple[dict, Path]) -> None:
    reader, text = read(made[1])
    assert reader.open == []
    tags = [tag for tag, _ in reader.tags]
    assert not {"script", "link", "iframe", "object", "embed", "base", "form"} & set(tags)
    for _, attributes in reader.tags:
        assert not [name for name in attributes if name.startswith("on") or name in ("href", "srcset", "action")]
        assert (attributes.get("src") or "data:").startswith("data:")
        assert "url(" not in (attributes.get("style") or "")
    style = text[text.index("<style>") : text.index("</style>")]
    assert "url(" not in style and "@import" not in style and "://" not in re.sub(r"base64,[\w+/=]+", "", text)
    [policy] = [a["content"] for tag, a in reader.tags if tag == "meta" and "http-equiv" in a]
    assert policy.startswith("default-src 'none'")
    assert tags.count("video") >= 2 and tags.count("img") >= 3 and tags.count("svg") >= 4


def test_hostile_names_stay_text(made: tuple[dict, Path]) -> None:
    reader, text = read(made[1])
    assert "&lt;script" in text and "&lt;b&gt;hall" in text
    assert "evil" not in " ".join(str(a) for tag, a in reader.tags if tag != "img" or not a["src"].startswith("data:"))


def test_a_run_that_was_killed_ends_with_the_same_figures(
    made: tuple[dict, Path], world: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    finished: list[str] = []
    put = Results.put

    def dying(results: Results, key: str, *rest: object) -> None:
        put(results, key, *rest)
        finished.append(key)
        if len(finished) == 5:
            raise KeyboardInterrupt

    monkeypatch.setattr(Results, "put", dying)
    with pytest.raises(KeyboardInterrupt):
        run(world, tmp_path)
    assert not (tmp_path / "report.json").exists()
    [items] = tmp_path.glob(f"items-*/{FILE}")
    items.write_bytes(items.read_bytes() + b'{"key": "half a li')
    result = run(world, tmp_path)
    assert len(finished) == len(set(finished)) > 10
    whole, _ = made
    same = set(result) - {"preset", "minutes"}
    assert {name: result[name] for name in same} == {name: whole[name] for name in same}
    again = run(world, tmp_path, futures=lambda folder: FakeFutures())
    assert again == result


def test_without_recordings_it_says_how_to_make_some(tmp_path: Path) -> None:
    with pytest.raises(InputError, match="record --out"):
        evaluate(preset(), tmp_path, tmp_path / "out", SMALL, load=never)
    assert not (tmp_path / "out").exists()


def test_a_folder_that_cannot_be_is_told_before_the_work(world: Path, tmp_path: Path) -> None:
    (tmp_path / "file").write_text("x")
    with pytest.raises(StorageError, match="file"):
        evaluate(preset(), world, tmp_path / "file", SMALL, load=never)


def test_recordings_that_are_too_short_leave_gaps_and_no_error(tmp_path: Path) -> None:
    write_episode(tmp_path / "heldout" / "closet", Panning.make(chunks=3))
    result = run(tmp_path, tmp_path / "out")
    assert result["interventions"] == result["prediction"] == {} and result["rollouts"]["clips"] == 0
    assert result["language"]["sampled"]["boundaries"] == 0 and result["codec"]["heldout"]["chunks"] == 2
    assert "Codec alone" in read(tmp_path / "out")[1]


def test_what_is_known_of_recordings_is_said(tmp_path: Path) -> None:
    for number in range(2):
        folder = tmp_path / "heldout" / f"room-{number}"
        write_episode(folder, Panning.make(chunks=24, seed=number))
        meta = json.loads((folder / "episode.json").read_text())
        (folder / "episode.json").write_text(json.dumps(meta | {"seed": 2 * 1_000_003 + 500_000 + number}))
    result = run(tmp_path, tmp_path / "out")
    assert result["data"]["splits"]["heldout"]["seeds"] == [2] and "optimistic" in result["data"]["used_before"][0]
    assert "optimistic" in read(tmp_path / "out")[1]


def test_quick_is_a_part_of_full() -> None:
    quick, full = Extent.quick(), Extent.full(64)
    for name in ("windows", "far_windows", "moments", "late_moments", "rollouts", "long_rollouts", "stretches"):
        assert getattr(quick, name) < getattr(full, name)
    assert quick.horizons == full.horizons and quick.seed == full.seed and quick.long_chunks == full.long_chunks == 280
