"""Presets: one small YAML file names a model, the generation settings that suit it, what it needs and its licence."""

from __future__ import annotations

import hashlib
from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path

from tv2tv_core.errors import InputError, WeightsError
from tv2tv_core.recipe import Recipe, read_recipe
from tv2tv_core.settings import Number, shorten, validate

PRESETS = Path(__file__).resolve().parent.parent / "presets"
DEFAULT = "embedded"
SUMS = "SHA256SUMS"  # beside shipped weights: the format of `sha256sum`, so that anyone can check without this code
LARGEST_PRESET = 64 * 1024  # bytes
_KEYS = {"title", "weights", "renderer", "planner", "settings", "needs", "licence", "source"}


@dataclass(frozen=True)
class Preset:
    """A model with its defaults. `settings` holds validated overrides; `needs` is free data such as memory_gb.

    A native model is one file, `weights`. Pretrained models are in `recipe`; `weights` is then the preset's own file,
    which stands for them wherever two presets are compared. `source` is where the weights are published.
    """

    name: str
    title: str
    weights: Path
    settings: Mapping[str, Number] = field(default_factory=dict)
    needs: Mapping[str, Number | str] = field(default_factory=dict)
    licence: str = ""
    recipe: Recipe | None = None
    source: str = ""

    @property
    def from_text(self) -> bool:
        """Whether a story may start from its prompt alone: every adapter of a pipeline can, a native model cannot."""
        return self.recipe is not None


def names(folder: Path | None = None) -> list[str]:
    """The names of the presets in `folder` (None: those that ship), the default one first."""
    found = sorted(path.stem for path in (folder or PRESETS).glob("*.yaml"))
    return sorted(found, key=lambda name: name != DEFAULT)


def load(name: str = DEFAULT, folder: Path | None = None) -> Preset:
    """The preset called `name` in `folder`, or in the YAML file `name` when it ends in .yaml.

    Paths inside a preset are relative to its file. Raises InputError for an unknown name (it lists the known ones) and
    for a file that is not a preset. Nothing in the file is executed: no resolvers, no tags, no environment.
    """
    known = names(folder)
    own_file = name.endswith((".yaml", ".yml"))
    if not own_file and name not in known:
        raise InputError(f"Unknown preset {shorten(name)}. Presets are: {', '.join(known)}; or give a .yaml file.")
    path = Path(name) if own_file else (folder or PRESETS) / f"{name}.yaml"
    return _preset(path, _read(path))


def shipped(name: str) -> Preset:
    """The shipped preset called `name`; unlike `load` it never takes a path, so a name from outside reaches no file.

    Raises InputError for an unknown name.
    """
    known = names()
    if name not in known:
        raise InputError(f"This studio has no preset {shorten(name)}; it has {', '.join(known)}. Choose one of these.")
    return load(name)


def verify_weights(preset: Preset) -> str:
    """The sha256 (hex) of the preset's weights, checked against the sums file beside them where that lists them.

    Raises WeightsError when the file is missing, unreadable or not what was shipped. Pretrained weights are checked
    when they are fetched; here they only have a name.
    """
    if preset.recipe is not None:
        return preset.recipe.identity
    path = preset.weights
    try:
        with path.open("rb") as stream:
            found = hashlib.file_digest(stream, "sha256").hexdigest()
    except OSError as error:
        raise WeightsError(
            f"The weights of preset '{preset.name}' cannot be read: {path} ({error.strerror}). "
            "Restore them with `git checkout -- assets`, or choose another preset."
        ) from error
    expected = read_sums(path.parent).get(path.name, found)
    if found != expected:
        raise WeightsError(
            f"The weights {path} are not the shipped ones: sha256 {found[:12]}…, expected {expected[:12]}…. "
            "Restore them with `git checkout -- assets`."
        )
    return found


def read_sums(folder: Path) -> dict[str, str]:
    """File name → sha256 (hex) from the sums file of `folder`; empty when there is none."""
    path = folder / SUMS
    if not path.is_file():
        return {}
    rows = (line.split(maxsplit=1) for line in path.read_text(encoding="utf-8").splitlines() if line.strip())
    return {row[1].lstrip("*").strip(): row[0].lower() for row in rows if len(row) == 2}


def _read(path: Path) -> dict[str, object]:
    """The mapping in a preset file, with every value as written."""
    import yaml
    from omegaconf import OmegaConf
    from omegaconf.errors import OmegaConfBaseException

    try:
        if path.stat().st_size > LARGEST_PRESET:
            raise InputError(f"{path} is too large for a preset ({LARGEST_PRESET // 1024} kB at most). Check the path.")
        text = path.read_text(encoding="utf-8")
        loaded = OmegaConf.to_container(OmegaConf.create(text), resolve=False)
    except OSError as error:
        raise InputError(f"Cannot read the preset {path}: {error.strerror}. Check the path.") from error
    except (UnicodeDecodeError, yaml.YAMLError, OmegaConfBaseException) as error:
        raise InputError(f"{path} is not a preset: not valid YAML. Compare it with presets/embedded.yaml.") from error
    if not isinstance(loaded, dict) or "${" in text:
        raise InputError(f"{path} is not a preset: plain `key: value` lines are needed, see presets/embedded.yaml.")
    return loaded


def _preset(path: Path, data: dict[str, object]) -> Preset:
    """A preset from the mapping in its file; every key is checked."""
    unknown = sorted(str(key) for key in data if key not in _KEYS)
    if unknown:
        raise InputError(f"{path} has the unknown key {shorten(unknown[0])}. Keys are: {', '.join(sorted(_KEYS))}.")
    weights, settings, needs = data.get("weights"), data.get("settings") or {}, data.get("needs") or {}
    recipe = None if data.get("renderer") is None else read_recipe(path, data["renderer"], data.get("planner"))
    if recipe is None and (not isinstance(weights, str) or not weights):
        raise InputError(f"{path} names no weights. Add a line `weights: FILE.safetensors`.")
    if recipe is not None and weights is not None:
        raise InputError(f"{path} names both `weights` (a native model) and a `renderer` (pretrained ones): keep one.")
    if not isinstance(settings, dict) or not isinstance(needs, dict):
        raise InputError(f"{path}: `settings` and `needs` hold `key: value` lines, see presets/embedded.yaml.")
    try:
        checked = {str(key): validate(str(key), value) for key, value in settings.items()}
    except InputError as error:
        raise InputError(f"{path}: {error}") from error
    return Preset(
        name=path.stem,
        title=str(data.get("title") or path.stem),
        weights=path.resolve() if recipe else (path.resolve().parent / str(weights)).resolve(),
        settings=checked,
        needs={str(key): value for key, value in needs.items() if isinstance(value, int | float | str)},
        licence=str(data.get("licence") or ""),
        recipe=recipe,
        source=str(data.get("source") or ""),
    )
