"""What a machine can run is told in words; and how a pipeline is laid out follows from its size and the free memory."""

from __future__ import annotations

import subprocess
import sys
from dataclasses import replace

import pytest

from tv2tv_core import presets
from tv2tv_core.engine.pretrained import fit
from tv2tv_core.engine.pretrained.fit import GB, Machine, ladder, runnable

LARGE = Machine("NVIDIA H200", 140.0, 1000.0)


@pytest.fixture
def here(tmp_path, monkeypatch) -> None:
    """A machine without any downloads and with plenty of disk."""
    monkeypatch.setenv("HF_HUB_CACHE", str(tmp_path / "hub"))
    monkeypatch.setattr(fit, "free_disk_gb", lambda: 500.0)


@pytest.mark.parametrize(
    ("machine", "fits", "words"),
    [
        (Machine(None, 0.0, 64.0), False, "Needs an NVIDIA GPU with 12 GB of memory; none answers"),
        (Machine("NVIDIA GTX 1060", 6.4, 64.0), False, "the NVIDIA GTX 1060 has 6 GB"),
        (Machine("NVIDIA RTX 3060", 12.0, 16.8), False, "Needs 32 GB of main memory; this machine has 17 GB"),
        (Machine("NVIDIA RTX 3060", 12.0, 33.4), True, "Not downloaded yet, about 20 GB: `python3 launch.py fetch"),
        (Machine("NVIDIA RTX 3060", 11.8, 31.0), True, "Not downloaded yet"),  # sold as 12 and 32
    ],
)
def test_a_preset_explains_what_it_lacks(here, machine, fits, words):
    told = runnable(presets.load("wan-vace-1.3b"), machine)
    assert told[0] is fits and words in told[1]


def test_a_full_disk_is_told_before_a_download(here, monkeypatch):
    monkeypatch.setattr(fit, "free_disk_gb", lambda: 3.0)
    assert runnable(presets.load("helios-14b"), LARGE) == (False, "Its download needs 60 GB of disk; 3 GB are free.")


def test_the_embedded_model_runs_anywhere(here):
    assert runnable(presets.load(), Machine(None, 0.0, 8.0)) == (True, "")
    assert not runnable(presets.load(), Machine(None, 0.0, 2.0))[0]


def test_every_shipped_preset_runs_on_a_large_machine(here):
    assert [name for name in presets.names() if not runnable(presets.load(name), LARGE)[0]] == []


def test_folders_of_ones_own_are_there_or_not(here, tiny_preset, tmp_path):
    preset = tiny_preset("WanVACEPipeline")
    assert runnable(preset, Machine(None, 0.0, 8.0)) == (True, "")
    elsewhere = replace(preset.recipe, weights=replace(preset.recipe.weights, path=tmp_path / "none"))
    told = runnable(replace(preset, recipe=elsewhere), Machine(None, 0.0, 8.0))
    assert told == (False, f"Its weights are not at {tmp_path / 'none'}.")


def test_this_machine_answers_in_numbers():
    machine = fit.this_machine()
    assert machine.ram_gb > 0 and machine.vram_gb >= 0 and (machine.gpu is None) == (machine.vram_gb == 0)
    assert fit.free_disk_gb() > 0


def test_asking_loads_no_tensor_library():
    code = """if True:
        import sys
        from tv2tv_core import presets
        from tv2tv_core.engine.describe import describe
        from tv2tv_core.engine.pretrained.fit import runnable
        assert [(runnable(each), describe(each)) for each in map(presets.load, presets.names()) if each.recipe]
        print({"torch", "diffusers", "transformers", "huggingface_hub"} & set(sys.modules))
    """
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert done.stdout == "set()\n"


def test_the_layout_follows_from_size_and_memory():
    parts = {"transformer": 2 * 10**9, "text_encoder": 5 * 10**9}  # 14 GB in two bytes each
    assert ladder(parts, 24 * GB) == ["resident", "model", "leaf"]
    assert ladder(parts, 16 * GB) == ["model", "leaf"]
    assert ladder(parts, 8 * GB) == ["leaf"]
    assert ladder(parts, 8 * GB, "model") == ["model", "leaf"]  # asked for by the preset
