"""The comparison in miniature: pairwise statistics that mean what they say, and one whole run on tiny models."""

from __future__ import annotations

import json
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
import torch

from tests.evaluate.acting import FakeFutures
from tests.evaluate.recordings import Panning, write_episode
from tests.evaluate.test_interventions import quick_distance
from tests.evaluate.test_variants import PlanTokenizer
from tests.model.tiny import TINY, tiny_model
from tv2tv_core import presets
from tv2tv_core.engine.native import NativeBackend
from tv2tv_core.errors import InputError
from tv2tv_core.evaluate import comparison, interventions
from tv2tv_core.evaluate.comparison import NAMES, compare_variants
from tv2tv_core.evaluate.comparison_figures import MEAN, THINK2V, TV2TV, frechet_figures, obedience, plans, preference
from tv2tv_core.evaluate.moments import ACTIONS
from tv2tv_core.model.codec import PixelCodec
from tv2tv_core.model.config import ModelConfig

K = len(ACTIONS)


def clips(near: list[float], far: list[float]) -> list[dict]:
    """One moment an episode, two horizons, at which `a` has the distance of `near` and `b` of `far`."""
    return [{"episode": f"e{i}", "lpips": {"a": {"1": a, "4": a}, "b": {"1": b, "4": b + 1}}}
            for i, (a, b) in enumerate(zip(near, far, strict=True))]


def test_preference_counts_who_is_nearer() -> None:
    values = clips([0.1, 0.2, 0.3, 0.4], [0.2, 0.1, 0.4, 0.4])
    found = preference(values, "a", "b", "1")
    assert found["share"]["mean"] == pytest.approx((1 + 0 + 1 + 0.5) / 4)
    assert found["nearer"]["mean"] == pytest.approx(0.025)
    back = preference(values, "b", "a", "1")
    assert found["share"]["mean"] + back["share"]["mean"] == pytest.approx(1)
    assert found["share"]["low"] <= found["share"]["mean"] <= found["share"]["high"]
    assert preference(values, "a", "b", MEAN)["share"]["mean"] == 1  # the later horizon decides
    assert preference(values, "a", "b", MEAN)["share"]["low"] == 1


def test_no_difference_is_not_a_preference() -> None:
    """Two players alike but for noise: the interval holds one half."""
    rng = np.random.default_rng(0)
    found = preference(clips(*rng.random((2, 40)).tolist()), "a", "b", "1")
    assert found["share"]["low"] < 0.5 < found["share"]["high"]


def test_the_frechet_distance_knows_who_is_real() -> None:
    rng = np.random.default_rng(0)
    real = rng.standard_normal((60, 3)).tolist()
    values = [{"features": {TV2TV: rng.standard_normal((8, 3)).tolist(), THINK2V: (rng.standard_normal((8, 3)) + 3).tolist()}}
              for _ in range(6)]
    for value in values:
        value["features"]["T2V"] = value["features"][TV2TV]
    found = frechet_figures(values, real)
    assert found["distance"][TV2TV]["mean"] < 2 < found["distance"][THINK2V]["mean"]
    lead = {row["b"]: row for row in found["less"] if row["a"] == TV2TV}
    assert 0 < lead[THINK2V]["low"] <= lead[THINK2V]["mean"] <= lead[THINK2V]["high"]
    assert lead["T2V"]["mean"] == lead["T2V"]["low"] == lead["T2V"]["high"] == 0
    assert frechet_figures([{"features": {TV2TV: []}}], real)["distance"][TV2TV]["mean"] is None


def test_obedience_is_compared_at_the_same_moments() -> None:
    follows = (1 - np.eye(K)).tolist()
    deaf = [[0.0, *[1.0] * (K - 1)]] * K
    tables = {"codec": follows, "truth": follows, TV2TV: follows, THINK2V: deaf}
    value = {"died": [False] * K, "distances": {name: {"1": table} for name, table in tables.items()}}
    found = obedience([value] * 3, 1)
    assert found[TV2TV]["accuracy"]["mean"] == 1 and found[THINK2V]["accuracy"]["mean"] == pytest.approx(1 / K)
    assert found["lead"]["mean"] == pytest.approx(1 - 1 / K) and found["ceiling"]["mean"] == 1


def test_plans_are_held_against_real_play() -> None:
    real = ["stand", "stand", "walk back", "walk back", "run forward", "stand"]
    value = {"episode": "e", "real_lines": real, "unreadable": 2, "lines": {TV2TV: real, THINK2V: ["stand"] * 6}}
    found = plans([value])
    assert found[TV2TV]["all"]["mean"] == 1 and found[THINK2V]["all"]["mean"] == 0.5
    assert found[THINK2V]["first"]["mean"] == 0.5 and found[THINK2V]["changes"]["mean"] == 0
    assert found[TV2TV]["changes"]["mean"] == found["real play"]["changes"]["mean"] == pytest.approx(0.6)
    assert found["unreadable"] == 2


def native(preset: presets.Preset) -> NativeBackend:
    """A tiny model of the recordings' size, other weights for another file."""
    config = ModelConfig(TINY.text, replace(TINY.video, latent_shape=(12, 48, 80)), TINY.context)
    model = tiny_model(config, seed=len(preset.name)).requires_grad_(False)
    torch.manual_seed(0)
    return NativeBackend(model, PixelCodec(8, 8, 1).eval(), PlanTokenizer(), name=preset.name, model_hash=preset.name)


def test_a_whole_comparison_and_again(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Everything at once; the second call measures nothing and ends with the same bytes."""
    monkeypatch.setattr(comparison, "CHUNKS", 8)
    monkeypatch.setattr(comparison, "HORIZONS", (1, 8))
    monkeypatch.setattr(interventions, "lpips_to_first", quick_distance)
    for number in range(2):
        write_episode(tmp_path / "data" / "heldout" / f"room{number}", Panning.make(chunks=24, seed=number))
    preset = replace(presets.load(), settings={"steps": 1, "temperature": 1.0})
    loaded: list[str] = []

    def load(asked: presets.Preset) -> NativeBackend:
        loaded.append(asked.name)
        return native(asked)

    def run(out: str) -> str:
        weights = tuple(Path(f"{name}.safetensors") for name in NAMES)
        return compare_variants(preset, weights, tmp_path / "data", tmp_path / out, 2, load, FakeFutures)

    table = run("out")
    assert loaded == list(NAMES)
    found = json.loads((tmp_path / "out" / "comparison.json").read_text())
    assert set(found["lpips"]) == {TV2TV, "TV2TV, true lines", "T2V", THINK2V, "Think2V, true lines", "repeat the start frame"}
    assert all(0 <= row["share"]["low"] <= row["share"]["high"] <= 1 for row in found["preference"])
    assert found["interventions"]["1"]["moments"] == 2 and found["frechet"]["windows"] == 4
    assert (tmp_path / "out" / "comparison.md").read_text() == table and "| TV2TV over T2V |" in table
    kept = {path.name: path.read_bytes() for path in (tmp_path / "out").glob("*.json")}
    assert run("out") == table and kept == {path.name: path.read_bytes() for path in (tmp_path / "out").glob("*.json")}


def test_without_recordings_it_says_so(tmp_path: Path) -> None:
    with pytest.raises(InputError, match="held-out"):
        compare_variants(presets.load(), (tmp_path,) * 3, tmp_path, tmp_path / "out", 1, native)
