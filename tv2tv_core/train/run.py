"""What `launch.py train` does: build one stage's model and task, run the trainer, export weights."""

from __future__ import annotations

import json
from dataclasses import fields, replace
from pathlib import Path
from typing import Any

import torch
from omegaconf import OmegaConf
from omegaconf.errors import OmegaConfBaseException
from safetensors.torch import load_file, save_file

from tv2tv_core.errors import InputError, WeightsError
from tv2tv_core.model.checkpoint import CODEC, CODECS, GIVEN_CODEC, entries_of, load_weights, save_weights
from tv2tv_core.model.config import ModelConfig
from tv2tv_core.model.smollm2 import is_text_tower, load_text_tower
from tv2tv_core.model.tv2tv import TV2TV
from tv2tv_core.train import codec_task, run_state
from tv2tv_core.train.decoder_task import DecoderTask
from tv2tv_core.train.delivery_task import (
    SharpenConfig,
    SharpenTask,
    SmoothConfig,
    SmoothTask,
    export_delivery,
    pairs_in,
)
from tv2tv_core.train.motion_task import MotionTask, MotionTaskConfig
from tv2tv_core.train.stem_task import StemConfig, StemTask
from tv2tv_core.train.trainer import Outcome, TrainConfig, Trainer
from tv2tv_core.train.tv2tv_task import WindowConfig, WindowTask

STAGES = ("codec", "decoder", "motion", "stem", "tv2tv", "smooth", "sharpen")
ARCHITECTURE = "model.json"
FROZEN = "frozen.safetensors"  # in a run: what it neither trains nor finds in the pretrained tower
# What each stage starts from; every value can be overridden on the command line.
TRAINER_DEFAULTS: dict[str, dict[str, Any]] = {
    "codec": {"lr": 1e-3, "bf16": True, "cooldown": 0.3},
    "decoder": {"lr": 7e-4, "bf16": True, "cooldown": 0.35, "ema": 0.995},
    "motion": {"lr": 1e-3, "bf16": True, "cooldown": 0.3, "ema": 0.995, "clip": 5.0, "validate_every": 500},
    "stem": {"lr": 1e-3, "bf16": True, "cooldown": 0.2, "ema": 0.995, "clip": 5.0, "validate_every": 300},
    "tv2tv": {"lr": 1e-3, "bf16": True, "cooldown": 0.3, "ema": 0.99, "clip": 5.0, "validate_every": 200},
    "smooth": {"lr": 8e-4, "bf16": True, "cooldown": 0.4, "ema": 0.98, "warmup": 40},
    "sharpen": {"lr": 1e-3, "bf16": True, "cooldown": 0.4, "ema": 0.98, "warmup": 40},
}


def pretrained_model(config: ModelConfig) -> TV2TV:
    """A model with fresh video side and the pretrained text tower, frozen parts in bfloat16."""
    torch.manual_seed(0)
    model = TV2TV(config)
    load_text_tower(model.mot)
    for name, parameter in model.mot.named_parameters():
        if is_text_tower(name, parameter):
            parameter.data = parameter.data.to(torch.bfloat16)
    return model


def run_config(run_dir: Path, changes: dict[str, Any]) -> ModelConfig:
    """The architecture of a run: what it was started with, or the default with `changes`, which is then kept.

    Raises InputError when a run is asked to go on with another architecture."""
    path = run_dir / ARCHITECTURE
    kept = ModelConfig.from_dict(json.loads(path.read_text())) if path.exists() else None
    merged = OmegaConf.merge((kept or ModelConfig()).to_dict(), changes)
    try:
        config = ModelConfig.from_dict(OmegaConf.to_container(merged, resolve=False))
    except WeightsError as error:
        raise InputError(f"model settings do not fit together ({error.__cause__}); see tv2tv_core/model/config.py") from error
    if kept is None:
        run_dir.mkdir(parents=True, exist_ok=True)
        path.write_text(json.dumps(config.to_dict(), indent=1))
    elif kept != config:
        raise InputError(f"{run_dir} was started with another architecture; use a new run folder")
    return config


def take_over(model: TV2TV, run_dir: Path, init: str | None) -> None:
    """Fill a model with what its run starts from: its own frozen parts when it has begun, else the weights at `init`.

    Raises WeightsError when there are none."""
    if (run_dir / FROZEN).exists():
        run_state.load_partly(model, load_file(run_dir / FROZEN))
        return
    for source in filter(None, (init or "").split(",")):
        path = Path(source)
        report = run_state.load_partly(model, load_weights(path)[0] if path.is_file() else run_state.ema_of(path))
        print(f"Weights from {source}: " + ", ".join(f"{key} {len(names)}" for key, names in report.items()))


def keep_frozen(model: TV2TV, run_dir: Path) -> None:
    """Keep what a run does not train (motion and plan reader in the window stage) with it, once: a checkpoint holds only
    what is trained, and a resumed run must not depend on where it came from."""
    path = run_dir / FROZEN
    if path.exists():
        return
    frozen = {name: parameter.detach().contiguous() for name, parameter in model.named_parameters()
              if not parameter.requires_grad and not is_text_tower(name.removeprefix("mot."), parameter)}
    fresh = path.with_suffix(".tmp")
    save_file(frozen, fresh)
    fresh.replace(path)


def train(stage: str, run_dir: Path, data: Path, overrides: list[str]) -> Outcome:
    """Train (or resume) one stage in `run_dir` on recordings under `data`.

    overrides: `trainer.key=value` for the trainer, `key=value` for the stage, `model.text|video.key=value` for the
    architecture (kept with the run; `model.video.motion=null` is the paper's network), `init=FROM` to start from another
    run's averaged weights or from a weight file (several, later over earlier, with commas between).
    Raises InputError for an unknown stage or key.
    """
    if stage not in STAGES:
        raise InputError(f"stage {stage!r} is unknown; choose one of {', '.join(STAGES)}")
    given = _parse(overrides)
    init = given.pop("init", None)
    settings = {**TRAINER_DEFAULTS[stage], **given.pop("trainer", {})}
    if "betas" in settings:
        settings["betas"] = tuple(settings["betas"])
    trainer_config = _fill(TrainConfig, settings, f"{stage} trainer")
    if trainer_config.threads:
        torch.set_num_threads(trainer_config.threads)
    if stage == "codec":
        task = codec_task.build(given, data, run_dir)
    elif stage == "decoder":
        begun = run_dir if (run_dir / codec_task.ARCHITECTURE).exists() else init
        if begun and "codec" not in given:
            given["codec"] = codec_task.architecture_of(Path(begun))
        task = DecoderTask(given, data, run_dir)
    elif stage == "smooth":
        task = SmoothTask(_fill(SmoothConfig, given, "smooth"), *pairs_in(data))
    elif stage == "sharpen":
        task = SharpenTask(_fill(SharpenConfig, given, "sharpen"), *pairs_in(data))
    else:
        model = pretrained_model(run_config(run_dir, given.pop("model", {})))
        if stage == "motion":
            task = MotionTask(model, _fill(MotionTaskConfig, given, "motion"), data, run_dir)
        elif stage == "stem":
            task = StemTask(model, _fill(StemConfig, given, "stem"), data, run_dir)
        else:
            task = WindowTask(model, _fill(WindowConfig, given, "tv2tv"), data, run_dir)
        # After the task, which may give the model what it trains with alone: a critic goes on as the run before left it.
        take_over(model, run_dir, init)
        init = None
        keep_frozen(model, run_dir)
    return Trainer(task, trainer_config, run_dir, Path(init) if init else None).run()


def export(run_dir: Path, out: Path, base: Path | None = None, codec_run: Path | None = None,
           given_codec_run: Path | None = None) -> int:
    """Write a run's averaged weights as an 8-bit weight file without the pretrained text tower; returns its bytes.

    `base`: an earlier weight file or run whose entries fill what this run did not train. `codec_run`, `given_codec_run`: the
    trained codecs that go into the same file, for what the model makes and for what stands right behind given frames (none
    is needed: the first then serves both); without them the codecs of `base` stay. A smooth or sharpen run takes the other
    one as `base`. Raises WeightsError when there is no codec at all.
    """
    if not (run_dir / ARCHITECTURE).exists() and (run_dir / "checkpoints").exists():
        return export_delivery(run_dir, base, out)
    config = run_config(run_dir, {})
    tensors: dict[str, torch.Tensor] = {}
    config_of: dict[str, Any] = {}
    if base is not None and base.is_file():
        tensors, stored = load_weights(base)
        config_of = {name: stored[name] for name in CODECS if name in stored}
    elif base is not None:
        tensors = run_state.ema_of(base)
    if (run_dir / FROZEN).exists():
        tensors |= load_file(run_dir / FROZEN)
    tensors |= run_state.ema_of(run_dir)
    codecs = {name: entries_of(name, tensors) for name in config_of}
    for name, trained in ((CODEC, codec_run), (GIVEN_CODEC, given_codec_run)):
        if trained is not None:
            codec, config_of[name] = codec_task.trained_codec(trained)
            codecs[name] = codec.state_dict()
    if CODEC not in codecs:
        raise WeightsError("no codec to export: name its run with --codec DIR, or a weight file with one as --base")
    with torch.device("meta"):
        shapes = {name: value.shape for name, value in TV2TV(config).state_dict().items()
                  if not (name.startswith("mot.") and is_text_tower(name.removeprefix("mot."), value))}
    if missing := [name for name, shape in shapes.items() if name not in tensors or tensors[name].shape != shape]:
        raise WeightsError(f"{len(missing)} weights are in none of the given runs (first: {missing[0]}); name the stem "
                           "run as --base")
    chosen = {name: tensors[name] for name in shapes}
    for codec_name, entries in codecs.items():
        chosen |= {f"{codec_name}.{name}": value for name, value in entries.items()}
    save_weights(out, chosen, {"model": config.to_dict(), **config_of}, int8=True)
    return out.stat().st_size


def _parse(overrides: list[str]) -> dict[str, Any]:
    try:
        parsed = OmegaConf.to_container(OmegaConf.from_dotlist(overrides), resolve=False)
    except (OmegaConfBaseException, ValueError) as error:
        raise InputError(f"could not read {' '.join(overrides)!r} ({error}); write key=value") from error
    return dict(parsed)


def _fill(kind: type, values: dict[str, Any], what: str) -> Any:
    known = {f.name for f in fields(kind)}
    if unknown := sorted(set(values) - known):
        raise InputError(f"{what} has no setting {unknown[0]!r}; it has {', '.join(sorted(known))}")
    for f in fields(kind):
        given, default = values.get(f.name), f.default
        wrong = isinstance(given, str) != isinstance(default, str) or isinstance(given, dict | list) != isinstance(
            default, tuple)
        if f.name in values and (wrong and not isinstance(given, tuple)):
            raise InputError(f"{what}: {f.name} is {given!r}; a value like {default!r} is needed")
    return replace(kind(), **values) if kind is not TrainConfig else kind(**values)
