"""The verbs: each checks its flags, imports what it needs and hands over to the library. Nothing heavy at import."""

from __future__ import annotations

import argparse
import os
import sys
from collections.abc import Callable
from pathlib import Path
from typing import TYPE_CHECKING

from app.present import ClipProgress, count_progress
from tv2tv_core import presets
from tv2tv_core.errors import InputError
from tv2tv_core.media.atomic import check_writable
from tv2tv_core.presets import Preset
from tv2tv_core.settings import SETTINGS, resolve, shorten

if TYPE_CHECKING:
    from tv2tv_core.engine.backend import Backend
    from tv2tv_core.media.delivery import Delivery

PROJECTS = Path(__file__).resolve().parent.parent / "projects"
Verb = Callable[[argparse.Namespace], int]


def run(chosen: argparse.Namespace) -> int:
    """Run the chosen verb; returns its exit code. Errors are left to the caller."""
    return VERBS[chosen.verb](chosen)


def _studio(chosen: argparse.Namespace) -> int:
    from app.address import Options, check

    preset = presets.DEFAULT if chosen.preset is None else chosen.preset
    if preset not in presets.names():  # a project names its preset, so it must be found again without a path
        known = ", ".join(presets.names())
        raise InputError(f"--preset is {shorten(preset)}; the studio's presets are: {known}. Put your own file into presets/.")
    password = os.environ.get("TV2TV_PASSWORD") or None if chosen.password is None else chosen.password
    options = Options(
        projects=PROJECTS if chosen.projects is None else Path(chosen.projects).expanduser().resolve(),
        preset=preset,
        port=None if chosen.port is None else whole_number("--port", chosen.port, 0, 65_535),
        browser=not chosen.no_browser,
        listen=chosen.listen,
        password=password,
        names=tuple(chosen.host_name),
    )
    check(options)
    from app.jobs import Engines
    from app.studio import serve
    from tv2tv_core.engine.describe import describe

    return serve(options, Engines(load=_backend, describe=describe))


def _generate(chosen: argparse.Namespace) -> int:
    given = {row.name: getattr(chosen, row.name) for row in SETTINGS}
    resolve(given)  # a mistyped number is told before anything heavy is imported
    preset = _preset(chosen.preset)
    delivery = _delivery(preset, chosen.fps, chosen.scale, chosen.speed)
    from tv2tv_core.media.clip import ClipRequest, make_clip

    request = ClipRequest(
        preset=preset,
        out=Path(chosen.out),
        start=chosen.start,
        prompt=chosen.prompt,
        plan=None if chosen.plan is None else Path(chosen.plan),
        intent=chosen.intent,
        settings=given,
        delivery=delivery,
    )
    made = make_clip(request, ClipProgress(sys.stderr), load=_backend)
    print(f"{made.out}: {made.frames} frames, {made.seconds:.2f} s; plan lines and chunks in order in {made.json_path}")
    return 0


def _delivery(preset: Preset, fps: str | None, scale: str, speed: str) -> Delivery:
    """--fps, --scale and --speed as stages. Raises InputError."""
    from tv2tv_core.engine.describe import describe
    from tv2tv_core.media.delivery import FACTORS, SCALES, SPEEDS, Delivery

    for flag, given, allowed in (("--scale", scale, SCALES), ("--speed", speed, SPEEDS)):
        if given not in map(str, allowed):
            raise InputError(f"{flag} is {shorten(given)}; allowed are {', '.join(map(str, allowed))}.")
    if fps is None:
        return Delivery(1, int(scale), float(speed))
    rates = {f"{float(describe(preset).fps * factor):g}": factor for factor in FACTORS}
    if fps not in rates:
        raise InputError(f"--fps is {shorten(fps)}; with the preset {preset.name} allowed are {', '.join(rates)}.")
    return Delivery(rates[fps], int(scale), float(speed))


def _record(chosen: argparse.Namespace) -> int:
    chunks = whole_number("--chunks", chosen.chunks, 1, 100_000_000)
    seed = whole_number("--seed", chosen.seed, 0, 2**31 - 1)
    from tv2tv_core.data.recorder import record_world

    record_world(Path(chosen.out), chunks, seed, count_progress(sys.stderr))
    print(f"Recorded into {chosen.out}")
    return 0


def _train(chosen: argparse.Namespace) -> int:
    if chosen.stage == "export":
        return _export(chosen)
    if any(value is not None for value in (chosen.out, chosen.base, chosen.codec, chosen.given_codec)):
        raise InputError("--out, --base, --codec and --given-codec go with `train export` only; a stage writes into the folder "
                         "of --run.")
    if chosen.stage == "all":
        return _train_all(chosen)
    overrides = list(chosen.overrides)
    if chosen.steps is not None:
        overrides.append(f"trainer.steps={whole_number('--steps', chosen.steps, 1, 1_000_000_000)}")
    if chosen.minutes is not None:
        overrides.append(f"trainer.minutes={whole_number('--minutes', chosen.minutes, 1, 1_000_000)}")
    from tv2tv_core.train.run import train

    ended = train(chosen.stage, Path(chosen.run or f"runs/{chosen.stage}"), Path(chosen.data or "runs/arena"), overrides)
    again = "" if ended.reason == "finished" else "; the same command goes on from there"
    print(f"{ended.reason} at step {ended.step:,}: {ended.run_dir}{again}")
    return 0 if ended.reason == "finished" else 130


def _train_all(chosen: argparse.Namespace) -> int:
    if chosen.minutes is None:
        raise InputError("`train all` needs its time box: give --minutes N (60 is a start on two cores).")
    if chosen.data is not None:
        raise InputError("`train all` records for itself, into its --run folder; leave --data out.")
    minutes = whole_number("--minutes", chosen.minutes, 5, 1_000_000)
    steps = () if chosen.steps is None else (f"trainer.steps={whole_number('--steps', chosen.steps, 1, 1_000_000_000)}",)
    from tv2tv_core.train.whole import Whole, train_all

    run = Path(chosen.run or "runs/all")
    ended = train_all(Whole(run, minutes, overrides=(*chosen.overrides, *steps)))
    if ended.reason != "finished":
        print(f"stopped in {ended.run_dir}; the same command goes on from there")
        return 130
    print(f"Weights: {run / 'weights.safetensors'}; what they can do: {run / 'report/report.html'}")
    return 0


def _export(chosen: argparse.Namespace) -> int:
    if not chosen.run or not chosen.out:
        raise InputError("`train export` needs --run DIR (a trained run) and --out FILE.safetensors.")
    if chosen.overrides:
        raise InputError(f"`train export` takes no overrides; received {shorten(chosen.overrides[0])}. Leave it out.")
    from tv2tv_core.train.run import export

    others = (None if given is None else Path(given) for given in (chosen.base, chosen.codec, chosen.given_codec))
    size = export(Path(chosen.run), Path(chosen.out), *others)
    print(f"{chosen.out}: {size / 1e6:.1f} MB")
    return 0


def _evaluate(chosen: argparse.Namespace) -> int:
    count = whole_number("--count", chosen.count, 1, 1_000_000)
    if chosen.delivery:
        return _evaluate_delivery(chosen, count)
    preset = _preset(chosen.preset)
    if chosen.comparison:
        from tv2tv_core.evaluate.comparison import compare_variants

        weights = tuple(map(Path, chosen.comparison))
        moments = 4 if chosen.quick else count
        print(compare_variants(preset, weights, Path(chosen.data), Path(chosen.out), moments, load=_backend))
        return 0
    if chosen.intents:
        from tv2tv_core.evaluate.intents import measure_intents

        moments = 4 if chosen.quick else count
        print(measure_intents(preset, Path(chosen.data), Path(chosen.out), moments, _backend, worded=not chosen.quick))
        return 0
    from tv2tv_core.evaluate.report import Extent, evaluate

    extent = Extent.quick() if chosen.quick else Extent.full(count)
    evaluate(preset, Path(chosen.data), Path(chosen.out), extent, load=_backend)
    print(f"The report is {Path(chosen.out) / 'report.html'}")
    return 0


def _evaluate_delivery(chosen: argparse.Namespace, count: int) -> int:
    from tv2tv_core.evaluate.delivery import evaluate_delivery

    pairs = "runs/pairs" if chosen.data == "runs/arena" else chosen.data
    print(evaluate_delivery(Path(pairs), Path(chosen.out), 8 if chosen.quick else count))
    return 0


def _bench(chosen: argparse.Namespace) -> int:
    preset = _preset(chosen.preset)
    target = None if chosen.json is None else Path(chosen.json)
    if target is not None:
        check_writable(target)  # now, not after minutes
    from tv2tv_core.evaluate.bench import bench, save

    figures = bench(preset, load=_backend)
    print(figures.table())
    if target is not None:
        save(figures, target)
    return 0


def _fetch(chosen: argparse.Namespace) -> int:
    preset = _preset(chosen.name)
    from tv2tv_core.engine.pretrained.fetch import HuggingFaceHub, fetch

    def ask(question: str) -> bool:
        if chosen.yes:
            return True
        if not sys.stdin.isatty():
            raise InputError(f"{question} Nobody can answer here: give --yes to agree.")
        return input(f"{question} [y/N] ").strip().casefold() in ("y", "yes")

    done = fetch(preset, ask, lambda words: print(words, file=sys.stderr), HuggingFaceHub())
    print(f"Start it with `python3 launch.py studio --preset {preset.name}`" if done else "Nothing was downloaded.")
    return 0


def _preset(name: str | None) -> Preset:
    """The preset called `name`, None for the default one."""
    return presets.load(presets.DEFAULT if name is None else name)


def _backend(preset: Preset) -> Backend:
    """The preset's backend. Missing or altered weights are told before the seconds that importing the model takes."""
    if preset.recipe is None:
        presets.verify_weights(preset)
    else:
        from tv2tv_core.engine.pretrained.weights import require

        require(preset)
    from tv2tv_core.engine.load import load_backend

    return load_backend(preset)


def whole_number(flag: str, text: str, minimum: int, maximum: int) -> int:
    """`text` as a whole number in [minimum, maximum]. Raises InputError that names the flag and what is allowed."""
    try:
        number = int(text)
    except ValueError:
        number = None
    if number is None or not minimum <= number <= maximum:
        raise InputError(f"{flag} is {shorten(text)}; allowed is a whole number from {minimum} to {maximum}.")
    return number


VERBS: dict[str, Verb] = {
    "studio": _studio,
    "generate": _generate,
    "record": _record,
    "train": _train,
    "evaluate": _evaluate,
    "bench": _bench,
    "fetch": _fetch,
}
