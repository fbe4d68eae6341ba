"""What the towers keep of a story: keys and values per segment, what of it is in view, and how it is found again.

Everything here is a pure function of the history, so that a rewind, a fork or a reload sees exactly what an unbroken run
saw. The reach back is bounded: every `ERA` chunks the chunks in view are encoded anew as if the story began with them.
"""

from __future__ import annotations

import threading
import weakref
from collections.abc import Callable
from dataclasses import dataclass

from torch import Tensor

from tv2tv_core.model.mot import Context, MoT, SegmentCache
from tv2tv_core.timeline import ChunkSegment, History, IntentSegment, TextSegment

ERA = 64  # chunks; at most so many, and those in view, are run again when an old boundary is opened
REMEMBERED = 400  # segments whose entries are kept, about half a megabyte each


@dataclass(frozen=True)
class Remembered:
    """What a segment leaves: its cache, the text tower's last state [1, width], from which the next token is sampled, and the
    cache of BOF, if that is what comes next. BOF is always run in one block with the text before it: a pass of the text
    tower takes as long for one token as for ten."""

    cache: SegmentCache
    ahead: Tensor
    bof: SegmentCache


class SegmentMemory:
    """Entries for the segments of any number of stories; safe to use from several threads.

    `encode(node, context, before)` makes the entry of one segment that stands at the end of a context, which it may extend,
    behind the entry `before`; `prompt(text)` is the entry of a story's prompt. `reach` is how many chunks are in view.
    Entries go when their story goes: the memory never keeps a history alive.
    """

    def __init__(self, mot: MoT, encode: Callable[[History, Context, Remembered], Remembered],
                 prompt: Callable[[str], Remembered], reach: int) -> None:
        self._mot, self._encode, self._prompt, self._reach = mot, encode, prompt, reach
        self._entries: weakref.WeakKeyDictionary[History, dict[int, Remembered]] = weakref.WeakKeyDictionary()
        self._lock = threading.RLock()

    def __len__(self) -> int:
        return len(self._entries)

    def context(self, history: History, check: Callable[[], None]) -> tuple[Context, Remembered]:
        """Everything in view at the end of `history`, and the entry of its last segment.

        Segments that are not remembered are run; `check` is called before each and may raise.
        """
        with self._lock:
            nodes = history.nodes()
            era = era_of(history)
            base = self._base(nodes, era)
            first = len(nodes)
            while first > base and not all(era in self._entries.get(n, ()) for n in self._view(nodes[:first], base)):
                first -= 1
            for i in range(first, len(nodes)):
                check()
                self._ensure(nodes, i, base, era, history.prompt)
            return self._assemble(nodes, base, era, history.prompt), self._entries[history][era]

    def _ensure(self, nodes: list[History], i: int, base: int, era: int, prompt: str) -> None:
        node = nodes[i]
        if era not in self._entries.get(node, ()):
            before = self._entries[nodes[i - 1]][era] if i > base else self._prompt(prompt)
            entry = self._encode(node, self._assemble(nodes[:i], base, era, prompt), before)
            self._entries[node] = {**self._entries.pop(node, {}), era: entry}  # youngest last: the oldest go first
        while len(self._entries) > max(REMEMBERED, 4 * self._reach):
            self._entries.pop(next(iter(self._entries)), None)

    def _assemble(self, nodes: list[History], base: int, era: int, prompt: str) -> Context:
        opening = self._prompt(prompt)
        caches = [opening.cache]
        for node in self._view(nodes, base):
            if era not in self._entries.get(node, ()):  # the plan in force, from before this era: it stands behind the prompt
                entry = self._encode(node, self._mot.context(caches[:1]), opening)
                self._entries.setdefault(node, {})[era] = entry
            self._entries[node] = self._entries.pop(node)  # youngest last
            caches.append(self._entries[node][era].cache)
        return self._mot.context(caches)

    def _base(self, nodes: list[History], era: int) -> int:
        """Where an era begins: the first of the chunks in view at its first boundary."""
        if era == 0:
            return 0
        end = next(i for i, node in enumerate(nodes)
                   if isinstance(node.segment, ChunkSegment) and node.segment.index == era * ERA - 1)
        return _first_in_view(nodes[: end + 1], self._reach)

    def _view(self, nodes: list[History], base: int) -> list[History]:
        """The nodes in view: the last chunks and the text between them. When nothing is written behind the first of them,
        the plan in force stands there, as in training windows, which tell at their start what is going on."""
        first = max(base, _first_in_view(nodes, self._reach))
        view = nodes[first:]
        behind = 1  # where the plan line stands: behind the first chunk, below an intent
        while behind < len(view) and isinstance(view[behind].segment, IntentSegment):
            behind += 1
        if first and view and (len(view) == behind or isinstance(view[behind].segment, ChunkSegment)):
            line = next((n for n in reversed(nodes[:first]) if isinstance(n.segment, TextSegment)), None)
            view = [*view[:behind], *([line] if line else []), *view[behind:]]
        return view


def era_of(history: History) -> int:
    """The era of the chunk that comes after a history."""
    node: History | None = history
    while node is not None and not isinstance(node.segment, ChunkSegment):
        node = node.parent
    return 0 if node is None else (node.segment.index + 1) // ERA


def _first_in_view(nodes: list[History], reach: int) -> int:
    """Where the last `reach` chunks begin; 0 when there are fewer."""
    seen = 0
    for i in range(len(nodes) - 1, -1, -1):
        seen += isinstance(nodes[i].segment, ChunkSegment)
        if seen == reach:
            return i
    return 0
