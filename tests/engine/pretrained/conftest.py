"""Tiny models saved once for all tests of the pretrained backend, and backends loaded from them."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

import pytest

from tests.engine.pretrained import tiny
from tv2tv_core import presets
from tv2tv_core.presets import Preset


@pytest.fixture(scope="session")
def models(tmp_path_factory: pytest.TempPathFactory) -> Callable[[str], Path]:
    """`models(name)`: the folder of a tiny pipeline, or of the tiny language model for "planner"."""
    root = tmp_path_factory.mktemp("models")

    def folder(name: str) -> Path:
        place = root / name
        if not place.is_dir():
            tiny.save_language_model(place) if name == "planner" else tiny.save_pipeline(name, place)
        return place

    return folder


@pytest.fixture(scope="session")
def tiny_preset(models: Callable[[str], Path], tmp_path_factory: pytest.TempPathFactory) -> Callable[..., Preset]:
    """`tiny_preset(pipeline, more)`: a preset over tiny models; `more` are further lines of its renderer section."""

    def preset(pipeline: str, more: str = "") -> Preset:
        place = tmp_path_factory.mktemp("preset")
        return presets.load(str(tiny.write_preset(place, pipeline, models(pipeline), models("planner"), more)))

    return preset


@pytest.fixture(scope="session")
def backends(tiny_preset: Callable[..., Preset]) -> Callable[[str], object]:
    """`backends(pipeline)`: the loaded backend of a tiny preset, shared by all tests."""
    from tv2tv_core.engine.load import load_backend

    loaded: dict[str, object] = {}

    def backend(pipeline: str) -> object:
        if pipeline not in loaded:
            loaded[pipeline] = load_backend(tiny_preset(pipeline))
        return loaded[pipeline]

    return backend
