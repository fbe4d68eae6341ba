"""A preset can be described without loading it, and the description is what loading gives."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path

import pytest

from tv2tv_core import presets
from tv2tv_core.engine.describe import describe
from tv2tv_core.errors import WeightsError


def test_the_description_is_the_spec_of_the_loaded_backend():
    from tv2tv_core.engine.load import load_backend

    preset = presets.load()
    assert describe(preset) == load_backend(preset).spec


@pytest.mark.parametrize("content", [b"", b"\x00" * 7, b"\xff" * 40, b"\x02\x00\x00\x00\x00\x00\x00\x00{}", b"hello" * 100])
def test_what_is_no_weight_file_is_told(tmp_path: Path, content: bytes):
    file = tmp_path / "own.safetensors"
    file.write_bytes(content)
    with pytest.raises(WeightsError, match="not a readable weight file"):
        describe(replace(presets.load(), weights=file))


def test_missing_weights_are_told(tmp_path: Path):
    with pytest.raises(WeightsError, match="cannot be read"):
        describe(replace(presets.load(), weights=tmp_path / "none.safetensors"))
