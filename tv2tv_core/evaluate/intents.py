"""Intents: does the model plan what it was asked for? From held-out moments, each intent beside no intent at all.

For two seconds the model plans and acts by itself behind the true past. An intent counts as done when the plan lines of these
two seconds add up to what it says; what they add up to when nothing was asked is the chance level.
"""

from __future__ import annotations

import random
import zlib
from collections.abc import Callable, Mapping, Sequence
from dataclasses import asdict
from pathlib import Path
from typing import Any

import numpy as np

from tv2tv_core.data.shards import Episode
from tv2tv_core.engine.backend import Backend
from tv2tv_core.engine.events import ChunkStarted, Failed
from tv2tv_core.engine.generate import GenerateRequest, generate
from tv2tv_core.errors import Cancelled, TV2TVError
from tv2tv_core.evaluate.backend_predictor import true_history
from tv2tv_core.evaluate.extent import HELD_OUT
from tv2tv_core.evaluate.interventions import CONTEXT, Player
from tv2tv_core.evaluate.items import Item, Measured, Tick, run_groups
from tv2tv_core.evaluate.language import readable
from tv2tv_core.evaluate.place import Place
from tv2tv_core.evaluate.prediction import Past
from tv2tv_core.evaluate.results import Results
from tv2tv_core.evaluate.rollouts import choose_windows
from tv2tv_core.evaluate.stats import clustered, wilson
from tv2tv_core.intent import Part, describe, row
from tv2tv_core.intent_phrases import SAY
from tv2tv_core.plan import Action, parse
from tv2tv_core.presets import Preset
from tv2tv_core.settings import resolve
from tv2tv_core.timeline import History

CANONICAL, WORDED, NOTHING = "canonical", "held-out words", "no intent"
SPAN = 9  # chunks: 2 s
TAKES = ("main", "second", "third")  # of no intent, for a steadier chance level
WEAPON = "shotgun"
ASKED = tuple(kind for kind in SAY if kind != "kill")  # whether somebody falls is not the plan's to say
TURNED, AROUND, LOOKED, HELD, STILL = 15, 100, 5, 2, 6  # degrees, degrees, degrees, chunks, chunks


def done(kind: str, lines: Sequence[str]) -> bool:
    """Whether plan lines, one per chunk, add up to what an intent of this kind says; unreadable lines count as nothing."""
    actions = [parse(line) if readable(line) else Action() for line in lines]
    turn, look = sum(a.turn for a in actions), sum(a.look for a in actions)
    along, aside = sum(a.forward for a in actions), sum(a.strafe for a in actions)
    return {
        "turn left": turn >= TURNED,
        "turn right": -turn >= TURNED,
        "turn around": abs(turn) >= AROUND,
        "go ahead": along >= HELD,
        "go back": -along >= HELD,
        "strafe left": aside >= HELD,
        "strafe right": -aside >= HELD,
        "shoot": any(a.fire for a in actions),
        "change": any(a.weapon == WEAPON for a in actions),
        "jump": any(a.jump for a in actions),
        "crouch": any(a.crouch for a in actions),
        "look up": look >= LOOKED,
        "look down": -look >= LOOKED,
        "wait": sum(not (a.forward or a.strafe or a.turn) for a in actions) >= STILL,
    }[kind]


def plans(player: Player, episode: Episode, chunk: int, words: Mapping[str, str], tick: Tick) -> dict[str, list[list[str]]]:
    """The plan in force at each chunk of the two seconds after the true chunks before `chunk`, by name of what was asked
    (`words`: name → intent), and under NOTHING as often as there are TAKES."""
    first = chunk - CONTEXT
    past = Past(np.array(episode.frames[first:chunk]), tuple(episode.lines[first:chunk]), episode.meta_prompt)
    history = true_history(player.backend, past)
    found = {name: [_planned(player, history, row(intent), TAKES[0], tick)] for name, intent in words.items()}
    return found | {NOTHING: [_planned(player, history, None, take, tick) for take in TAKES]}


def _planned(player: Player, history: History, asked: str | None, take: str, tick: Tick) -> list[str]:
    settings = player.settings
    request = GenerateRequest(
        player.backend, history, SPAN, plan=[asked], seed=player.seed, take=take, steps=settings.steps,
        guidance=settings.guidance, temperature=settings.temperature, top_p=settings.top_p,
    )  # fmt: skip
    lines: list[str] = []
    failed = False
    try:
        for event in generate(request):
            if isinstance(event, ChunkStarted):
                lines.append(event.plan)
                tick()
            if isinstance(event, Failed):
                failed = isinstance(event.error, TV2TVError) and not isinstance(event.error, Cancelled)
    except TV2TVError:
        if not failed:  # only what the model itself wrote may end a plan early
            raise
    return lines


def measure_intents(
    preset: Preset, data: Path, out: Path, count: int, load: Callable[[Preset], Backend], worded: bool = True
) -> str:
    """Ask for every kind of intent at `count` held-out moments, in canonical and (`worded`) in held-out words; returns the
    table as Markdown. Writes intents.json and intents.md into `out`, resumably. Raises InputError without held-out recordings
    or for a backend that reads no intents, WeightsError and StorageError.
    """
    place = Place.open(data, out, "intents")
    episodes = place.splits[HELD_OUT]
    backend, settings = load(preset), resolve(preset.settings)
    about = {
        "format": 1,
        "model_hash": backend.spec.model_hash,
        "settings": asdict(settings),
        "recordings": [[episode.folder.name, len(episode)] for episode in episodes],
    }
    player = Player(backend, settings, settings.seed)
    places = choose_windows(episodes, CONTEXT + 1, count, 0)
    asked = [_item(player, episodes[episode], first + CONTEXT, worded) for episode, first in places]
    values, seconds = run_groups({"intents": asked}, Results(place.out, about), "intents")
    found = {**about, "minutes": round(seconds / 60, 1)} | figures(values["intents"])
    table = markdown(found)
    place.write_figures("intents", found)
    place.write("intents.md", table)
    return table


def _item(player: Player, episode: Episode, chunk: int, worded: bool) -> Item:
    name = f"{episode.folder.name}/{chunk}"
    wordings = (CANONICAL, WORDED) if worded else (CANONICAL,)
    rng = random.Random(zlib.crc32(name.encode()))
    parts = {kind: Part(kind, weapon=WEAPON) for kind in ASKED}
    words = {f"{way}/{kind}": describe([part], rng if way == WORDED else None, way == WORDED)
             for way in wordings for kind, part in parts.items()}

    def run(_: object, tick: Tick) -> Measured:
        return {"moment": name, "words": words, "lines": plans(player, episode, chunk, words, tick)}, {}

    return Item(f"intents/{name}/{len(wordings)}", SPAN * (len(words) + len(TAKES)), run)


# Figures -------------------------------------------------------------------------------------------------------------


def figures(values: Sequence[Mapping[str, Any]]) -> dict[str, Any]:
    """Per wording: share of intents done over all kinds, the same without an intent, and the lead, with intervals over moments;
    per kind both shares (Wilson's intervals). `valid`: share of plan lines that can be read."""
    found: dict[str, Any] = {"moments": len(values), "wordings": {}}
    for way in (CANONICAL, WORDED):
        here = [value for value in values if f"{way}/{ASKED[0]}" in value["lines"]]
        if here:
            found["wordings"][way] = _figures(here, way)
    found["valid"] = {
        name: _valid([lines for value in values for key, takes in value["lines"].items() if (key == NOTHING) == bare
                      for lines in takes])
        for name, bare in (("with intents", False), (NOTHING, True))
    }  # fmt: skip
    return found


def _figures(values: Sequence[Mapping[str, Any]], way: str) -> dict[str, Any]:
    groups = [value["moment"] for value in values for _ in ASKED]
    asked = [float(done(kind, value["lines"][f"{way}/{kind}"][0])) for value in values for kind in ASKED]
    chance = [float(np.mean([done(kind, lines) for lines in value["lines"][NOTHING]])) for value in values for kind in ASKED]
    lead = [a - b for a, b in zip(asked, chance, strict=True)]
    rows = {"done": asked, "chance": chance, "lead": lead}
    kinds = {}
    for number, kind in enumerate(ASKED):
        hits, trials = sum(asked[number :: len(ASKED)]), len(values)
        low, high = wilson(hits, trials)
        kinds[kind] = {"done": hits / trials, "low": low, "high": high, "chance": float(np.mean(chance[number :: len(ASKED)]))}
    return {name: asdict(clustered(row_, groups)) for name, row_ in rows.items()} | {"kinds": kinds}


def _valid(plans_: Sequence[Sequence[str]]) -> float | None:
    written = [line for lines in plans_ for at, line in enumerate(lines) if line and (not at or line != lines[at - 1])]
    return sum(map(readable, written)) / len(written) if written else None


def markdown(found: Mapping[str, Any]) -> str:
    """The figures as a table."""
    def share(value: float | None) -> str:
        return "—" if value is None else f"{100 * value:.0f} %"

    rows = []
    for way, here in found["wordings"].items():
        cells = [f"{share(here[name]['mean'])} [{share(here[name]['low'])}, {share(here[name]['high'])}]"
                 for name in ("done", "chance", "lead")]
        rows.append(f"| **all, {way}** | {' | '.join(cells)} |")
        for kind, one in here["kinds"].items():
            cells = [f"{share(one['done'])} [{share(one['low'])}, {share(one['high'])}]", share(one["chance"])]
            rows.append(f"| {kind}, {way} | {' | '.join(cells)} | {share(one['done'] - one['chance'])} |")
    valid = " ".join(f"{share(value)} {name}." for name, value in found["valid"].items())
    head = f"Intents at {found['moments']} held-out moments, two seconds each; weights `{found['model_hash'][:12]}`."
    return "\n".join([head, "", "| intent | done | without it | lead |", "| --- | --- | --- | --- |", *rows, "",
                      f"Plan lines that can be read: {valid}", ""])  # fmt: skip
