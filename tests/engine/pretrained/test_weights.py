"""Weights on this machine: found in a folder or among the downloads, whole or not, and how large their parts are."""

from __future__ import annotations

import shutil
from dataclasses import replace

import pytest

from tv2tv_core import presets
from tv2tv_core.engine.pretrained.weights import locate, missing, part_sizes, require
from tv2tv_core.errors import WeightsError
from tv2tv_core.recipe import Weights


@pytest.fixture
def pipeline(models, tmp_path):
    """A copy that a test may damage."""
    return shutil.copytree(models("WanVACEPipeline"), tmp_path / "pipeline")


def test_a_whole_folder_is_found_and_measured(pipeline, models):
    assert missing(pipeline) == [] and locate(Weights(path=pipeline)) == pipeline
    assert missing(models("planner")) == []
    sizes = part_sizes(pipeline)
    assert set(sizes) == {"transformer", "text_encoder", "vae"} and min(sizes.values()) > 1000


@pytest.mark.parametrize("name", ["transformer/diffusion_pytorch_model.safetensors", "text_encoder/model.safetensors"])
def test_a_missing_weight_file_is_named(pipeline, name):
    (pipeline / name).unlink()
    assert missing(pipeline) == [f"{name.split('/')[0]}/*.safetensors"] and locate(Weights(path=pipeline)) is None


def test_a_missing_shard_is_named(pipeline):
    index = pipeline / "transformer" / "diffusion_pytorch_model.safetensors.index.json"
    index.write_text('{"weight_map": {"a": "x-1.safetensors", "b": "x-2.safetensors"}}')
    (pipeline / "transformer" / "x-1.safetensors").write_bytes(b"")
    assert missing(pipeline) == ["transformer/x-2.safetensors"]


@pytest.mark.parametrize("text", ["", "[1]", '{"vae": []}', "\x00"])
def test_a_damaged_index_is_told(pipeline, text):
    (pipeline / "model_index.json").write_text(text)
    assert "model_index.json" in missing(pipeline)[0]


@pytest.mark.parametrize("content", [b"", b"\xff" * 40, b"\x02\x00\x00\x00\x00\x00\x00\x00[]"])
def test_what_is_no_weight_file_is_told(pipeline, content):
    (pipeline / "vae" / "diffusion_pytorch_model.safetensors").write_bytes(content)
    with pytest.raises(WeightsError, match="not a readable weight file"):
        part_sizes(pipeline)


def test_a_download_is_found_where_all_tools_keep_it(pipeline, tmp_path, monkeypatch):
    monkeypatch.setenv("HF_HUB_CACHE", str(tmp_path / "hub"))
    assert locate(Weights("owner/name")) is None
    place = tmp_path / "hub" / "models--owner--name"
    shutil.copytree(pipeline, place / "snapshots" / "abc")
    (place / "refs").mkdir()
    (place / "refs" / "main").write_text("abc")
    assert locate(Weights("owner/name")) == place / "snapshots" / "abc"


def test_what_is_not_there_comes_with_size_licence_and_command(tmp_path, monkeypatch):
    monkeypatch.setenv("HF_HUB_CACHE", str(tmp_path))
    with pytest.raises(WeightsError) as caught:
        require(presets.load("wan-vace-1.3b"))
    told = str(caught.value)
    for part in ("Wan-AI/Wan2.1-VACE-1.3B-diffusers", "20 GB", "Apache-2.0", "python3 launch.py fetch wan-vace-1.3b"):
        assert part in told
    assert "\n" not in told


def test_a_folder_of_ones_own_that_is_not_whole_is_told(tiny_preset, pipeline):
    (pipeline / "vae" / "diffusion_pytorch_model.safetensors").unlink()
    preset = tiny_preset("WanVACEPipeline")
    broken = replace(preset, recipe=replace(preset.recipe, weights=Weights(path=pipeline)))
    with pytest.raises(WeightsError, match=r"missing vae/\*\.safetensors"):
        require(broken)
