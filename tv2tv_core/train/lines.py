"""Plan lines for training: paraphrases, what each line asks for as numbers, and its text-tower states, computed once."""

from __future__ import annotations

import random
import zlib
from dataclasses import replace

import numpy as np
import torch
from torch import Tensor

from tv2tv_core.model.motion import ACTION_FEATURES, PASTS
from tv2tv_core.model.smollm2 import Tokenizer
from tv2tv_core.model.tv2tv import TV2TV
from tv2tv_core.plan import WEAPONS, paraphrase, parse, to_line
from tv2tv_core.train.footage import Footage

BATCH = 256


def features(line: str) -> Tensor:
    """The action of a canonical line as float32 [ACTION_FEATURES], in the order that `motion.py` lists."""
    a = parse(line)
    weapon = [float(a.weapon == name) for name in WEAPONS]
    values = [a.forward, a.strafe, a.run, a.turn / 15, a.look / 15, a.jump, a.crouch, a.fire, a.use, *weapon]
    assert len(values) == ACTION_FEATURES
    return torch.tensor([float(v) for v in values])


def variants(line: str, count: int) -> list[str]:
    """A canonical line followed by `count` fixed paraphrases of it (the same in every run)."""
    rng = random.Random(zlib.crc32(line.encode()))
    action = parse(line)
    return [line, *(paraphrase(action, rng) for _ in range(count))]


def mirrored(line: str) -> str:
    """A canonical plan line with left and right exchanged."""
    action = parse(line)
    return to_line(replace(action, strafe=-action.strafe, turn=-action.turn))


def said(footage: Footage, at: np.ndarray, mirror: Tensor) -> list[str]:
    """The lines of chunks `at`, with left and right exchanged where `mirror` [B] says so."""
    return [mirrored(footage.lines[i]) if turned else footage.lines[i] for i, turned in zip(at, mirror.tolist(), strict=True)]


class LineTable:
    """All wordings of all lines with their token ids, action features and lower text-tower states.

    states half [L, T, width], valid bool [L, T], wanted [canonical lines, ACTION_FEATURES].
    """

    def __init__(self, model: TV2TV, lines: list[str], paraphrases: int) -> None:
        self.canonical = sorted(set(lines))
        self.number = {line: i for i, line in enumerate(self.canonical)}
        self.per_line = 1 + paraphrases
        self.wordings = [w for line in self.canonical for w in variants(line, paraphrases)]
        tokenizer = Tokenizer.load()
        self.ids = [tokenizer.encode(wording) for wording in self.wordings]
        self.wanted = torch.stack([features(line) for line in self.canonical])
        longest = max(len(ids) for ids in self.ids)
        padded = torch.zeros(len(self.ids), longest, dtype=torch.long)
        self.valid = torch.zeros(len(self.ids), longest, dtype=torch.bool)
        for row, ids in enumerate(self.ids):
            padded[row, : len(ids)] = torch.tensor(ids)
            self.valid[row, : len(ids)] = True
        self.states = torch.zeros(len(self.ids), longest, 0, dtype=torch.float16)
        if model.reader is not None:
            self._run(model, padded)

    def _run(self, model: TV2TV, padded: Tensor) -> None:
        device = next(model.parameters()).device
        order = self.valid.sum(1).argsort()  # batches of like length waste little padding
        self.states = torch.zeros(*padded.shape, model.config.text.width, dtype=torch.float16)
        for rows in order.split(BATCH):
            length = int(self.valid[rows].sum(1).max())
            with torch.autocast(device.type, torch.bfloat16):
                found = model.line_states(padded[rows, :length].to(device))
            self.states[rows, :length] = found.to("cpu", torch.float16)

    def choose(self, lines: list[str], spoken: Tensor) -> Tensor:
        """Wording numbers [B] for canonical lines; `spoken` [B] in [0, 1): below 0.5 the canonical wording itself,
        above it one of the paraphrases."""
        first = torch.tensor([self.number[line] for line in lines]) * self.per_line
        pick = ((spoken - 0.5).clamp(min=0) * 2 * (self.per_line - 1)).long() + 1
        return first + torch.where(spoken < 0.5, torch.zeros_like(pick), pick.clamp(max=self.per_line - 1))

    def of(self, wordings: Tensor) -> tuple[Tensor, Tensor, Tensor]:
        """States float32 [B, T, width], valid [B, T] and wanted features [B, ACTION_FEATURES] of wording numbers."""
        valid = self.valid[wordings]
        length = max(1, int(valid.sum(1).max()))
        return self.states[wordings, :length].float(), valid[:, :length], self.wanted[wordings // self.per_line]

    def summaries(self, model: TV2TV, lines: list[str], spoken: Tensor, hidden: Tensor | None = None) -> Tensor:
        """Plan summaries [B, P] of canonical lines in the wordings that `spoken` chooses; `hidden` rows know no plan."""
        states, valid, _ = self.of(self.choose(lines, spoken))
        if hidden is not None:
            valid = valid & ~hidden[:, None]
        device = next(model.parameters()).device
        return model.read(states.to(device), valid.to(device))

    def pasts(self, model: TV2TV, footage: Footage, at: np.ndarray, mirror: Tensor | None = None,
              rng: torch.Generator | None = None, forget: tuple[float, float] = (0.0, 0.0)) -> Tensor:
        """Summaries [B, PASTS, P] of the plans of chunks `at` and of those before them in the same scene, the latest first.

        With `rng` in paraphrases too, and as at the beginning of a clip: in a share forget[0] of the rows some are unknown, or
        all, in a share forget[1] all of them."""
        mirror = torch.zeros(len(at), dtype=torch.bool) if mirror is None else mirror
        known, spoken = torch.from_numpy(footage.known[at]), torch.zeros(PASTS, len(at))
        if rng is not None:
            some, all_of_them = (torch.rand(len(at), generator=rng) < share for share in forget)
            most = torch.randint(0, PASTS, known.shape, generator=rng)
            known = torch.where(some, known.minimum(most), known).masked_fill(all_of_them, 0)
            spoken = torch.rand(PASTS, len(at), generator=rng)
        return torch.stack([
            self.summaries(model, said(footage, np.maximum(at - k, 0), mirror), spoken[k], known <= k) for k in range(PASTS)
        ], 1)
