"""Downloads the weights of a preset: asks first, shows size and progress, goes on where it broke off, checks what came.

This is the one place that uses the network, and only when a person starts it.
"""

from __future__ import annotations

import hashlib
import json
import os
import shutil
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Protocol, TypeVar

from tv2tv_core.engine.pretrained.fit import GB, runnable
from tv2tv_core.engine.pretrained.weights import INDEX, downloads, missing
from tv2tv_core.errors import InputError, StorageError, TV2TVError, WeightsError
from tv2tv_core.presets import Preset
from tv2tv_core.recipe import Weights

SPARE = 2 * GB  # disk space that stays free
OFFLINE = "HF_HUB_OFFLINE"
# Weights that cannot carry code, and the small files around them; never what is published beside them.
Answer = TypeVar("Answer")
PLANNER_FILES = ("*.json", "*.safetensors", "*.model", "*.txt", "*.jinja")
PART_FILES = ("*.json", "*.safetensors", "*.model", "*.txt")


@dataclass(frozen=True)
class RemoteFile:
    """A published file: its size in bytes, its sha256 (hex, "" where none is published), and whether it is here."""

    name: str
    size: int
    sha256: str
    here: bool


class Hub(Protocol):
    """Where weights are published. Methods raise TV2TVError when it cannot be reached or refuses."""

    def parts(self, checkpoint: str) -> list[str]:
        """The folders that a pipeline is made of, by its own index."""
        ...

    def files(self, checkpoint: str, patterns: Sequence[str]) -> list[RemoteFile]:
        """The published files that match."""
        ...

    def download(self, checkpoint: str, patterns: Sequence[str]) -> Path:
        """Bring them here, going on where an earlier try broke off; returns their folder."""
        ...


def fetch(preset: Preset, ask: Callable[[str], bool], say: Callable[[str], None], hub: Hub) -> bool:
    """Download what a preset needs; returns False when the person said no. Raises TV2TVError.

    `ask` shows a question and returns the answer; `say` tells what happens.
    """
    recipe = preset.recipe
    if recipe is None:
        raise InputError(f"Preset '{preset.name}' needs no download: its weights come with the studio.")
    wanted = [each for each in (recipe.weights, recipe.planner) if each is not None and each.checkpoint]
    if not wanted:
        raise InputError(f"Preset '{preset.name}' uses folders of your own: there is nothing to download.")
    work = [(each.checkpoint, _patterns(each, recipe.weights, hub)) for each in wanted]
    lists = [hub.files(checkpoint, patterns) for checkpoint, patterns in work]
    rows = [row for rows in lists for row in rows]
    left = sum(row.size for row in rows if not row.here)
    fits, why = runnable(preset)
    if not fits:
        say(f"Note: {why}")
    if left and not ask(_question(preset, [checkpoint for checkpoint, _ in work], sum(row.size for row in rows), left)):
        return False
    room(left)
    for (checkpoint, patterns), files in zip(work, lists, strict=True):
        folder = hub.download(checkpoint, patterns)
        say(f"Checking {checkpoint}")
        verify(folder, files)
    say(f"Preset '{preset.name}' is complete.")
    return True


def verify(folder: Path, files: Sequence[RemoteFile]) -> None:
    """Check size and sha256 of every file, and that nothing is missing. Raises WeightsError; what is wrong is removed."""
    wrong = [row.name for row in files if not _is_whole(folder / row.name, row)]
    for name in wrong:
        target = (folder / name).resolve()  # the cache keeps the data behind a link
        (folder / name).unlink(missing_ok=True)
        target.unlink(missing_ok=True)
    lacks = wrong or missing(folder)
    if lacks:
        raise WeightsError(f"The download is not whole: {lacks[0]} is missing or damaged. Start the same command again.")


def room(needed: int) -> None:
    """Raises StorageError when `needed` more bytes do not fit on the disk."""
    folder = downloads()
    try:
        folder.mkdir(parents=True, exist_ok=True)
        free = shutil.disk_usage(folder).free
    except OSError as error:
        raise StorageError(f"Cannot write to {folder}: {error.strerror}. Set HF_HOME to a folder with room.") from error
    if needed and free < needed + SPARE:
        raise StorageError(f"{needed / GB:.1f} GB are to be downloaded and {free / GB:.1f} GB are free in {folder}. "
                           "Free some space, or set HF_HOME to a folder with room.")  # fmt: skip


def _patterns(weights: Weights, renderer: Weights, hub: Hub) -> list[str]:
    if weights is not renderer:
        return list(PLANNER_FILES)
    return [INDEX, *(f"{part}/{kind}" for part in hub.parts(weights.checkpoint) for kind in PART_FILES)]


def _question(preset: Preset, names: Sequence[str], size: int, left: int) -> str:
    rest = "" if left == size else f", of which {left / GB:.1f} GB are still missing"
    return (f"Download {' and '.join(names)}: {size / GB:.1f} GB{rest}, into {downloads()}. "
            f"Licence: {preset.licence or 'unknown'}; read it at {preset.source or 'its page'}. Go on?")  # fmt: skip


def _is_whole(file: Path, row: RemoteFile) -> bool:
    if not file.is_file() or file.stat().st_size != row.size:
        return False
    if not row.sha256:
        return True
    with file.open("rb") as stream:
        return hashlib.file_digest(stream, "sha256").hexdigest() == row.sha256


class HuggingFaceHub:
    """The public hub. Making one lifts the ban on the network that holds for every other verb, for this process."""

    def __init__(self) -> None:
        os.environ[OFFLINE] = "0"
        from huggingface_hub import constants

        constants.HF_HUB_OFFLINE = False  # it may have been imported, and the ban read, before

    def parts(self, checkpoint: str) -> list[str]:
        """The folders that a pipeline is made of."""
        from huggingface_hub import hf_hub_download

        index = self._try(lambda: hf_hub_download(checkpoint, INDEX), checkpoint)
        try:
            listed = json.loads(Path(index).read_text(encoding="utf-8"))
            return [name for name, kind in listed.items() if isinstance(kind, list) and kind[0] is not None]
        except (OSError, ValueError, AttributeError, IndexError) as error:
            raise WeightsError(f"{checkpoint} has no readable {INDEX}; it is no pipeline of diffusers.") from error

    def files(self, checkpoint: str, patterns: Sequence[str]) -> list[RemoteFile]:
        """The published files that match, with what is here already."""
        from huggingface_hub import HfApi, snapshot_download

        plan = self._try(lambda: snapshot_download(checkpoint, allow_patterns=list(patterns), dry_run=True), checkpoint)
        info = self._try(lambda: HfApi().model_info(checkpoint, files_metadata=True), checkpoint)
        sums = {row.rfilename: row.lfs.sha256 if row.lfs else "" for row in info.siblings or []}
        return [RemoteFile(row.filename, row.file_size or 0, sums.get(row.filename, ""), not row.will_download) for row in plan]

    def download(self, checkpoint: str, patterns: Sequence[str]) -> Path:
        """Bring the files here; the library shows progress on stderr and goes on with broken-off ones."""
        from huggingface_hub import snapshot_download

        return Path(self._try(lambda: snapshot_download(checkpoint, allow_patterns=list(patterns)), checkpoint))

    @staticmethod
    def _try(work: Callable[[], Answer], checkpoint: str) -> Answer:
        from huggingface_hub import errors

        try:
            return work()
        except errors.GatedRepoError as error:
            raise TV2TVError(f"{checkpoint} asks for a licence to be accepted on its page, and for `hf auth login`.") from error
        except errors.RepositoryNotFoundError as error:
            raise TV2TVError(f"{checkpoint} is not published (any more). Choose another preset.") from error
        except OSError as error:
            if error.errno is not None and error.strerror and not isinstance(error, ConnectionError):
                raise StorageError(f"The download cannot be written ({error.strerror}). Free space and start again.") from error
            raise _unreachable(checkpoint) from error
        except (errors.HTTPError, RuntimeError, ValueError) as error:
            raise _unreachable(checkpoint) from error


def _unreachable(checkpoint: str) -> TV2TVError:
    return TV2TVError(f"Cannot reach the hub for {checkpoint}. Check the network and start again; what is there is kept.")
