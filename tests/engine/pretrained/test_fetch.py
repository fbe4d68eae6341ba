"""Downloading: asked first, with size and licence; checked afterwards; every failure is one line and can be retried."""

from __future__ import annotations

import hashlib
import io
import shutil
from collections.abc import Sequence
from pathlib import Path

import pytest

from app import cli, commands
from tv2tv_core import presets
from tv2tv_core.engine.pretrained import fetch as module
from tv2tv_core.engine.pretrained.fetch import RemoteFile, fetch
from tv2tv_core.engine.pretrained.weights import locate
from tv2tv_core.errors import InputError, StorageError, TV2TVError, WeightsError
from tv2tv_core.recipe import Weights

NAME = "Wan-AI/Wan2.1-VACE-1.3B-diffusers"


class FolderHub:
    """A hub that publishes one folder as the checkpoint; `broken` is how many bytes a first download leaves out."""

    def __init__(self, source: Path, cache: Path, broken: int = 0) -> None:
        self.source, self.broken = source, broken
        self.target = cache / f"models--{NAME.replace('/', '--')}" / "snapshots" / "abc"
        self.downloads = 0
        self.patterns: list[str] = []

    def parts(self, checkpoint: str) -> list[str]:
        assert checkpoint == NAME
        return ["transformer", "text_encoder", "vae", "scheduler", "tokenizer"]

    def files(self, checkpoint: str, patterns: Sequence[str]) -> list[RemoteFile]:
        self.patterns = list(patterns)
        found = [path for path in sorted(self.source.rglob("*")) if path.is_file()]
        return [self._file(path) for path in found]

    def download(self, checkpoint: str, patterns: Sequence[str]) -> Path:
        self.downloads += 1
        shutil.copytree(self.source, self.target, dirs_exist_ok=True)
        (self.target.parents[1] / "refs").mkdir(exist_ok=True)
        (self.target.parents[1] / "refs" / "main").write_text("abc")
        if self.broken:
            weights = self.target / "vae" / "diffusion_pytorch_model.safetensors"
            weights.write_bytes(weights.read_bytes()[: -self.broken] + b"\x00" * self.broken)
            self.broken = 0
        return self.target

    def _file(self, path: Path) -> RemoteFile:
        name, data = path.relative_to(self.source).as_posix(), path.read_bytes()
        return RemoteFile(name, len(data), hashlib.sha256(data).hexdigest(), (self.target / name).is_file())


@pytest.fixture
def cache(tmp_path, monkeypatch) -> Path:
    monkeypatch.setenv("HF_HUB_CACHE", str(tmp_path / "hub"))
    return tmp_path / "hub"


@pytest.fixture
def preset():
    return presets.load("wan-vace-1.3b")


def test_it_asks_downloads_and_checks(cache, models, preset):
    hub, asked, said = FolderHub(models("WanVACEPipeline"), cache), [], []
    assert fetch(preset, lambda question: not asked.append(question), said.append, hub)
    assert NAME in asked[0] and "Apache-2.0" in asked[0] and "GB" in asked[0] and preset.source in asked[0]
    assert said[-1] == "Preset 'wan-vace-1.3b' is complete." and locate(Weights(NAME)) is not None
    assert "transformer/*.safetensors" in hub.patterns and not any(row.endswith((".bin", ".pt", "*")) for row in hub.patterns)
    assert fetch(preset, lambda question: pytest.fail("nothing is left to ask for"), said.append, hub)


def test_no_means_no(cache, models, preset):
    hub = FolderHub(models("WanVACEPipeline"), cache)
    assert not fetch(preset, lambda question: False, lambda words: None, hub)
    assert hub.downloads == 0 and locate(Weights(NAME)) is None


def test_a_damaged_file_is_removed_and_comes_again(cache, models, preset):
    hub = FolderHub(models("WanVACEPipeline"), cache, broken=5)
    with pytest.raises(WeightsError, match=r"vae/diffusion_pytorch_model\.safetensors is missing or damaged"):
        fetch(preset, lambda question: True, lambda words: None, hub)
    assert locate(Weights(NAME)) is None
    asked = []
    assert fetch(preset, lambda question: not asked.append(question), lambda words: None, hub)
    assert "still missing" in asked[0] and locate(Weights(NAME)) is not None


def test_a_full_disk_is_told_before_anything_comes(cache, models, preset, monkeypatch):
    monkeypatch.setattr(module.shutil, "disk_usage", lambda path: shutil._ntuple_diskusage(10**12, 10**12, 10**6))
    hub = FolderHub(models("WanVACEPipeline"), cache)
    with pytest.raises(StorageError, match="set HF_HOME"):
        fetch(preset, lambda question: True, lambda words: None, hub)
    assert hub.downloads == 0


def test_what_needs_no_download_says_so(tiny_preset):
    for chosen in (presets.load(), tiny_preset("WanVACEPipeline")):
        with pytest.raises(InputError, match=r"no download|nothing to download"):
            fetch(chosen, lambda question: True, lambda words: None, FolderHub(Path("x"), Path("y")))


def test_no_network_is_one_clear_line(monkeypatch):
    from huggingface_hub import constants
    from huggingface_hub.errors import LocalEntryNotFoundError, OfflineModeIsEnabled

    monkeypatch.setenv("HF_HUB_OFFLINE", "1")
    monkeypatch.setattr(constants, "HF_HUB_OFFLINE", True)
    hub = module.HuggingFaceHub()
    assert constants.HF_HUB_OFFLINE is False  # lifted, for this verb alone

    for error in (LocalEntryNotFoundError("x"), OfflineModeIsEnabled("x"), ValueError("x")):
        def fails(error: Exception = error) -> None:
            raise error

        with pytest.raises(TV2TVError, match=r"Cannot reach the hub for a/b\. Check the network") as caught:
            hub._try(fails, "a/b")
        assert "\n" not in str(caught.value)


def test_the_verb_downloads_only_when_somebody_agrees(cache, models, monkeypatch, capsys):
    hub = FolderHub(models("WanVACEPipeline"), cache)
    monkeypatch.setattr(module, "HuggingFaceHub", lambda: hub)
    monkeypatch.setattr("sys.stdin", io.StringIO(""))
    with pytest.raises(InputError, match="give --yes to agree"):
        commands.run(cli.parse(["fetch", "wan-vace-1.3b"]))
    assert hub.downloads == 0
    assert commands.run(cli.parse(["fetch", "wan-vace-1.3b", "--yes"])) == 0 and hub.downloads == 1
    assert "--preset wan-vace-1.3b" in capsys.readouterr().out


def test_the_verb_refuses_what_it_cannot_do_before_the_network(run_cli):
    done = run_cli("fetch", "embedded")
    assert done.returncode == 2 and "needs no download" in done.stderr
    assert run_cli("fetch", "nope").returncode == 2
