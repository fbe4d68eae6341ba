"""Where the text of a training window stands: between its chunks (TV2TV), nowhere (T2V), or all before them (Think2V)."""

from __future__ import annotations

import random
from dataclasses import dataclass
from itertools import pairwise
from typing import Literal, get_args

import numpy as np
import torch

from tv2tv_core.data.shards import Episode
from tv2tv_core.errors import InputError
from tv2tv_core.intent import as_read
from tv2tv_core.model.config import TextConfig
from tv2tv_core.model.smollm2 import Tokenizer
from tv2tv_core.train.footage import Footage
from tv2tv_core.train.hindsight import intent_for
from tv2tv_core.train.lines import LineTable
from tv2tv_core.whole_plan import PLAN_CHUNKS, write_plan

NOT_ASKED = -100
Layout = Literal["interleaved", "none", "first"]


@dataclass(frozen=True)
class Slots:
    """One window's text: ids before each chunk, targets of the same shape (the next id, or NOT_ASKED), and for each predicted
    chunk the number of the wording in force."""

    ids: list[list[int]]
    targets: list[list[int]]
    wordings: list[int]


class TextLayout:
    """Writes the slots of a window. All layouts draw the same random numbers, whatever the lines are.

    `interleaved`: a line before the chunk where the plan changes; in some windows an intent above one of the slots, which says
    what the recording does from there on (`hindsight.py`) and is read, never learnt to be written. `none`: no line at all,
    only the prompt. `first`: behind the prompt the whole plan (`whole_plan.py`) of PLAN_CHUNKS chunks, somewhere in which the
    window lies, so that a sliding window looks as in training wherever it is; always canonical.
    """

    def __init__(self, kind: Layout, text: TextConfig, tokenizer: Tokenizer, lines: LineTable) -> None:
        if kind not in get_args(Layout):
            raise InputError(f"text is {kind!r}; choose one of {', '.join(get_args(Layout))}")
        self.kind, self.text, self.tokenizer, self.lines = kind, text, tokenizer, lines

    def __call__(self, footage: Footage, chunks: np.ndarray, spoken: float, rng: torch.Generator, intents: float = 0.0
                 ) -> Slots:
        """Slots of the window of `chunks` (counted over all episodes); `spoken` is the share of lines in a person's wording,
        `intents` that of windows with an intent."""
        chance = torch.rand(len(chunks) - 1, 2, generator=rng)
        wished = self._wished(footage, chunks, intents, rng) if intents else {}
        prompt = [Tokenizer.bos, *self.tokenizer.encode(footage.prompt(chunks[0]) + "\n")]
        if self.kind != "interleaved":
            spoken = 0.0
        slots = self._interleaved(footage, chunks, chance, spoken, wished)
        bare = [[self.text.eof, self.text.bof]] * (len(chunks) - 1)
        silent = [[NOT_ASKED, NOT_ASKED]] * (len(chunks) - 1)
        if self.kind == "first":
            plan = self.tokenizer.encode(write_plan(plan_around(footage, int(chunks[0]), len(chunks) - 1)) + "\n")
            asked = [NOT_ASKED] * (len(prompt) - 1) + [*plan, self.text.bof, NOT_ASKED]
            return Slots([[*prompt, *plan, self.text.bof], *bare], [asked, *silent], slots.wordings)
        first = [*prompt, self.text.bof]
        if self.kind == "none":
            return Slots([first, *bare], [[NOT_ASKED] * len(first), *silent], slots.wordings)
        return Slots([first, *slots.ids], [[NOT_ASKED] * len(first), *slots.targets], slots.wordings)

    def _wished(self, footage: Footage, chunks: np.ndarray, share: float, rng: torch.Generator) -> dict[int, list[int]]:
        """The ids of an intent by the number of the predicted chunk whose slot it opens, earlier ones more often; and, without
        ids, a slot that is not asked.

        An intent opens a slot with a line: who says what should happen wants another one now. That takes a change of plan away
        from those made without an intent, so one boundary at which the plan goes on is not asked: they stay in proportion.
        """
        drawn = random.Random(int(torch.randint(2**31, (1,), generator=rng)))
        if self.kind != "interleaved" or drawn.random() >= share:
            return {}
        lines = [None, *(footage.lines[index] for index in chunks[1:])]
        fresh = [slot for slot, (before, line) in enumerate(pairwise(lines)) if line != before]
        slot = min(drawn.choice(fresh) for _ in range(2))
        episode, here = _place(footage, int(chunks[1 + slot]))
        wish = intent_for(episode, here, drawn)
        if wish is None:
            return {}
        kept = [other for other in range(len(chunks) - 1) if other not in fresh]
        silent = {drawn.choice(kept): []} if slot and kept else {}
        return silent | {slot: self.tokenizer.encode(as_read(wish))}

    def _interleaved(self, footage: Footage, chunks: np.ndarray, chance: torch.Tensor, spoken: float,
                     wished: dict[int, list[int]]) -> Slots:
        """What stands before each predicted chunk; the slot of the prompt is not among them."""
        text = self.text
        slots, targets, wordings = [], [], []
        in_force = None
        for slot, (index, (who, which)) in enumerate(zip(chunks[1:], chance, strict=True)):
            line, wish = footage.lines[index], wished.get(slot, [])
            unasked = [NOT_ASKED] * len(wish)
            if line == in_force:
                slots.append([text.eof, text.bof])
                targets.append([NOT_ASKED if slot in wished else text.bof, NOT_ASKED])
                wordings.append(wordings[-1])
                continue
            in_force = line
            person = bool(who < spoken)
            wording = int(self.lines.choose([line], 0.5 + which[None] / 2 if person else torch.zeros(1))[0])
            ids = self.lines.ids[wording]
            slots.append([text.eof, *wish, *ids, text.bof])
            # A person's wording is read, never learnt to be written; that the line ends there is still asked.
            targets.append([*unasked, *([NOT_ASKED] * len(ids) if person else ids), text.bof, NOT_ASKED])
            wordings.append(wording)
        return Slots(slots, targets, wordings)


def plan_around(footage: Footage, first: int, ahead: int) -> list[str]:
    """Lines of the plan in which a window lies whose first chunk is `first` (over all episodes) and that predicts `ahead` more.

    The plan begins where a clip could have begun: at `first` or up to PLAN_CHUNKS - ahead chunks before, the same for the same
    window, without a cut between. It has PLAN_CHUNKS lines where the recording goes on so long.
    """
    episode, here = _place(footage, first)
    cuts = np.flatnonzero(episode.cuts)
    before, after = cuts[cuts <= here], cuts[cuts > here]
    earliest = max(int(before[-1]) if len(before) else 0, here - (PLAN_CHUNKS - ahead))
    start = int(np.random.default_rng(first).integers(earliest, here + 1))
    end = min(start + 1 + PLAN_CHUNKS, int(after[0]) if len(after) else len(episode))
    return list(episode.lines[start + 1 : end])


def _place(footage: Footage, index: int) -> tuple[Episode, int]:
    """The episode that holds a chunk counted over all episodes, and the chunk's place in it."""
    number = int(np.searchsorted(footage.starts, index, side="right")) - 1
    return footage.episodes[number], index - int(footage.starts[number])
