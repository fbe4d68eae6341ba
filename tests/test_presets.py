"""Presets: the shipped ones are whole, others are checked, and nothing in a preset file is ever executed."""

from __future__ import annotations

import hashlib

import pytest

from tv2tv_core import presets
from tv2tv_core.errors import InputError, WeightsError
from tv2tv_core.settings import resolve

PRETRAINED = """renderer:
  pipeline: WanVACEPipeline
  checkpoint: owner/name
  width: 832
  height: 480
  fps: 23.976
  chunk_frames: 64
  history_frames: 17
"""
GOOD = "weights: model.safetensors\nsettings:\n  steps: 2\nneeds:\n  memory_gb: 3\nlicence: Apache-2.0\n"


@pytest.fixture
def write(tmp_path):
    def write(text: str | bytes, name: str = "mine.yaml") -> str:
        path = tmp_path / name
        path.write_bytes(text if isinstance(text, bytes) else text.encode())
        return str(path)

    return write


def test_the_default_comes_first_and_every_shipped_preset_is_whole():
    known = presets.names()
    assert known[0] == presets.DEFAULT and len(known) >= 2
    for name in known:
        preset = presets.load(name)
        need = "memory_gb" if preset.recipe is None else "vram_gb"
        assert preset.name == name and preset.title and preset.licence and preset.needs[need] > 0
        assert preset.weights.is_absolute() and resolve(preset.settings)


def test_a_preset_of_pretrained_models_says_what_a_download_takes():
    for preset in map(presets.load, presets.names()):
        if preset.recipe is not None:
            assert preset.needs["disk_gb"] > 0 and preset.needs["ram_gb"] > 0 and preset.source
            assert presets.verify_weights(preset) == preset.recipe.identity


def test_presets_may_share_weights_and_differ_in_steps():
    normal, slow = presets.load("embedded"), presets.load("embedded-4step")
    assert slow.settings["steps"] > normal.settings["steps"] and slow.weights == normal.weights


@pytest.mark.parametrize("name", ["nope", "", "../presets/embedded", "embedded.yml/x", "a" * 500, "e\x00\n"])
def test_an_unknown_name_lists_the_known_ones(name):
    with pytest.raises(InputError, match="embedded, embedded-4step") as caught:
        presets.load(name)
    assert str(caught.value).isprintable() and len(str(caught.value)) < 300


def test_a_file_of_ones_own_and_its_weights_are_found_beside_it(write, tmp_path):
    preset = presets.load(write(GOOD))
    assert (preset.name, preset.settings, preset.weights) == ("mine", {"steps": 2}, tmp_path / "model.safetensors")


@pytest.mark.parametrize(
    ("text", "words"),
    [
        ("settings: {}", "names no weights"),
        ("weights: 3", "names no weights"),
        ("weights: a\nweights: b", "not valid YAML"),
        ("weights: [", "not valid YAML"),
        (b"\xff\xfe\x00", "not valid YAML"),
        ("- a\n- b", "not a preset"),
        ("", "names no weights"),
        (GOOD + "device: cuda", "unknown key 'device'"),
        (GOOD.replace("steps: 2", "steps: 0"), "mine.yaml: steps is '0'"),
        (GOOD.replace("steps: 2", "stepz: 1"), "mine.yaml: Unknown setting"),
        ("weights: a\nsettings: 3", "hold `key: value`"),
        ("weights: ${oc.env:HOME}", "not a preset"),
        ("weights: !!python/object/apply:os.getcwd []", "not valid YAML"),
        ("#" * (presets.LARGEST_PRESET + 1), "too large"),
        ("weights: a\n" + PRETRAINED, "keep one"),
        ("renderer: 3", "`renderer` holds"),
        (PRETRAINED + "planner: 3", "`planner` holds"),
        (PRETRAINED + "  steps: 3", "unknown key 'steps'"),
        (PRETRAINED.replace("WanVACEPipeline", "os.system('x')"), "name a pipeline class"),
        (PRETRAINED.replace("owner/name", "../name"), "OWNER/NAME"),
        (PRETRAINED + "  path: here", "OWNER/NAME"),
        (PRETRAINED.replace("  width: 832\n", ""), "renderer.width is 'None'"),
        (PRETRAINED.replace("23.976", "0"), "renderer.fps is '0'"),
        (PRETRAINED + "  offload: disk", "renderer.offload is 'disk'"),
        (PRETRAINED + "  match_colour: 1", "true or false"),
    ],
)
def test_what_is_not_a_preset_is_refused_in_one_line(write, text, words):
    with pytest.raises(InputError, match=words.replace("$", r"\$")) as caught:
        presets.load(write(text))
    assert "\n" not in str(caught.value)


def test_pretrained_models_are_named_or_lie_in_folders_of_ones_own(write, tmp_path):
    preset = presets.load(write(PRETRAINED + "planner:\n  path: words\n"))
    recipe = preset.recipe
    assert recipe.weights.name == "owner/name" and recipe.planner.path == tmp_path / "words"
    assert preset.weights == tmp_path / "mine.yaml"  # tells it from every other preset
    assert round(float(recipe.fps), 3) == 23.976 and len(recipe.identity) == 64
    other = presets.load(write(PRETRAINED, "other.yaml"))
    assert other.recipe.planner is None and other.recipe.identity != recipe.identity


def test_a_missing_file_is_named(tmp_path):
    with pytest.raises(InputError, match=r"none\.yaml"):
        presets.load(str(tmp_path / "none.yaml"))


def test_weights_are_checked_against_the_sums_beside_them(write, tmp_path):
    preset = presets.load(write(GOOD))
    with pytest.raises(WeightsError, match=r"model\.safetensors"):
        presets.verify_weights(preset)
    data = b"tensors"
    preset.weights.write_bytes(data)
    digest = hashlib.sha256(data).hexdigest()
    assert presets.verify_weights(preset) == digest  # weights of one's own are in no list
    (tmp_path / presets.SUMS).write_text(f"{digest}  model.safetensors\n{'0' * 64} *other.bin\n")
    assert presets.verify_weights(preset) == digest
    preset.weights.write_bytes(data[:-1] + b"S")
    with pytest.raises(WeightsError, match="not the shipped ones"):
        presets.verify_weights(preset)
