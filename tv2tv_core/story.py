"""The story of a project as an immutable value: its takes, which one is shown, and pure edits; no chunk, no file."""

from __future__ import annotations

import re
import secrets
from collections.abc import Iterable, Mapping
from dataclasses import dataclass, fields, replace
from typing import Any

from tv2tv_core.engine.generate import check_line
from tv2tv_core.errors import InputError
from tv2tv_core.settings import shorten

MAX_TAKES = 1000
MAX_NAME = 60
MAX_INDEX = 100_000
"""The last chunk that a line can be planned for: more than six hours into a clip."""

_ID = re.compile(r"[0-9a-f]{16}")


def new_id() -> str:
    """A fresh random name for a chunk, a take or a project: 16 hexadecimal digits, never drawn twice in practice."""
    return secrets.token_hex(8)


def is_id(value: object) -> bool:
    """Whether `value` has the form that `new_id` gives."""
    return isinstance(value, str) and _ID.fullmatch(value) is not None


def check_name(text: object, what: str = "The name of a take", limit: int = MAX_NAME) -> str:
    """`text` without outer blanks when it is 1 to `limit` printable characters; InputError that begins with `what`."""
    name = text.strip() if isinstance(text, str) else ""
    if not name or len(name) > limit or not name.isprintable():
        raise InputError(f"{what} is {shorten(text)}; allowed are 1 to {limit} printable characters. Change it.")
    return name


def check_lines(lines: Iterable[tuple[object, object]]) -> tuple[tuple[int, str], ...]:
    """Planned lines as sorted pairs of chunk index (0 … MAX_INDEX) and line; empty lines and None are left out.

    Raises InputError for an index or a line that cannot be, and for two lines for one chunk.
    """
    found: dict[int, str] = {}
    for index, line in lines:
        _check_index(index)
        if line is not None and not isinstance(line, str):
            raise InputError(f"The plan line of chunk {index} is {shorten(line)}; only text is allowed. Write words.")
        if index in found:
            raise InputError(f"Chunk {index} has two planned lines; leave one.")
        text = check_line(line or "", f"The plan line of chunk {index}")
        if text:
            found[index] = text
    return tuple(sorted(found.items()))


@dataclass(frozen=True)
class Take:
    """One future: the path from the start chunk to `tip`, the id of the chunk at its end.

    `stream` names its random numbers for the engine. `planned` are a person's lines waiting for chunks not made yet, by
    chunk index, sorted. `parent` is the take it was forked from, `at` the index of its first own chunk.
    Raises InputError for fields that cannot be.
    """

    id: str
    name: str
    tip: str
    stream: str
    planned: tuple[tuple[int, str], ...] = ()
    parent: str | None = None
    at: int = 0

    def __post_init__(self) -> None:
        for label, value in (("id", self.id), ("tip", self.tip), ("parent", self.parent)):
            if not is_id(value) and not (label == "parent" and value is None):
                raise InputError(f"The {label} of a take is {shorten(value)}; it must be 16 hexadecimal digits.")
        if check_name(self.name) != self.name:
            raise InputError(f"The name of a take is {shorten(self.name)}: take the blanks around it away.")
        check_name(self.stream, "The random stream of a take", 100)
        _check_index(self.at)
        if check_lines(self.planned) != self.planned:
            raise InputError("The planned lines of a take must be sorted by chunk, without empty ones.")


@dataclass(frozen=True)
class Story:
    """All takes in the order in which they were made, and the id of the one shown; a take stands after its parent.

    An edit returns a new story and changes nothing here. Raises InputError for takes that do not fit together.
    """

    takes: tuple[Take, ...]
    active: str

    def __post_init__(self) -> None:
        if not 1 <= len(self.takes) <= MAX_TAKES:
            raise InputError(f"The story has {len(self.takes)} takes; 1 to {MAX_TAKES} are allowed. Delete some first.")
        known: set[str] = set()
        for take in self.takes:
            if take.id in known or not (take.parent is None or take.parent in known):
                raise InputError(f"Take {shorten(take.name)} is there twice, or stands before the take it came from.")
            known.add(take.id)
        if not is_id(self.active) or self.active not in known:
            raise InputError(f"The take shown is {shorten(self.active)}, which is none of the takes.")

    @property
    def current(self) -> Take:
        """The take that is shown."""
        return self.take(self.active)

    def find(self, take_id: object) -> Take | None:
        """The take with this id, or None."""
        return next((take for take in self.takes if take.id == take_id), None)

    def take(self, take_id: str) -> Take:
        """The take with this id; InputError when there is none."""
        found = self.find(take_id)
        if found is None:
            raise InputError("This take is not there any more (deleted in another window?): choose another take.")
        return found

    def grow(self, take_id: str, chunk_id: str, index: int) -> Story:
        """The take's end moves on to a new chunk; its planned lines up to that chunk have done their work and go."""
        take, _ = self.take(take_id), _check_index(index)
        waiting = tuple(item for item in take.planned if item[0] > index)
        return self._with(replace(take, tip=chunk_id, planned=waiting))

    def fork(
        self,
        parent_take: str,
        tip: str,
        at: int,
        stream: str | None = None,
        planned: Iterable[tuple[int, str]] = (),
    ) -> Story:
        """A new take, which becomes the one shown: it ends at chunk `tip`, and its first own chunk will have index `at`.

        Its name is "Take n" with the smallest n not in use; without `stream` it draws its parent's random numbers.
        """
        parent, _ = self.take(parent_take), _check_index(at)
        names = {take.name for take in self.takes}
        number = next(n for n in range(1, len(names) + 2) if f"Take {n}" not in names)
        lines = tuple(item for item in check_lines(planned) if item[0] >= at)
        take = Take(new_id(), f"Take {number}", tip, parent.stream if stream is None else stream, lines, parent.id, at)
        return Story((*self.takes, take), take.id)

    def switch(self, take_id: str) -> Story:
        """The same takes with another one shown."""
        return replace(self, active=self.take(take_id).id)

    def rename(self, take_id: str, name: str) -> Story:
        """The take under another name: 1 to 60 printable characters; two takes may have the same."""
        return self._with(replace(self.take(take_id), name=check_name(name)))

    def delete(self, take_id: str) -> Story:
        """The story without a take (never the last one): its chunks stay in the project, undo brings it back.

        Takes forked from it now count as forked from its parent. If it was shown, its parent is shown, else a neighbour.
        """
        gone = self.take(take_id)
        if len(self.takes) == 1:
            raise InputError("This is the only take, and a story needs one: make another take before deleting it.")
        place = self.takes.index(gone)
        rest = self.takes[:place] + self.takes[place + 1 :]
        active = self.active
        if active == gone.id:
            active = gone.parent if gone.parent is not None else rest[min(place, len(rest) - 1)].id
        kept = tuple(replace(take, parent=gone.parent) if take.parent == gone.id else take for take in rest)
        return Story(kept, active)

    def plan(self, take_id: str, lines: Mapping[int, str | None]) -> Story:
        """The take with other lines for chunks not made yet, by chunk index; None or an empty line removes one.

        A line has at most 200 printable characters. Which chunks are made already is for the caller to know.
        """
        take = self.take(take_id)
        changed = dict(check_lines(lines.items()))
        kept = {index: line for index, line in take.planned if index not in lines}
        return self._with(replace(take, planned=check_lines((kept | changed).items())))

    def to_json(self) -> dict[str, Any]:
        """The story in plain types, for `json.dumps`."""
        takes = [{field.name: getattr(take, field.name) for field in fields(Take)} for take in self.takes]
        return {"takes": [row | {"planned": [list(item) for item in row["planned"]]} for row in takes],
                "active": self.active}  # fmt: skip

    @classmethod
    def from_json(cls, data: object) -> Story:
        """The story that `to_json` wrote. Raises InputError for anything else: unknown, missing or wrong fields."""
        if not isinstance(data, dict) or set(data) != {"takes", "active"} or not isinstance(data["takes"], list):
            raise InputError("The story is broken: it must hold takes and the active one. Use a copy of the project.")
        return cls(tuple(_take_from_json(row) for row in data["takes"]), data["active"])

    def _with(self, changed: Take) -> Story:
        return replace(self, takes=tuple(changed if take.id == changed.id else take for take in self.takes))


def _take_from_json(row: object) -> Take:
    if not isinstance(row, dict) or set(row) != {field.name for field in fields(Take)}:
        raise InputError("The story is broken: a take has unknown or missing fields. Use a copy of the project.")
    planned = row["planned"]
    if not isinstance(planned, list) or not all(isinstance(item, list) and len(item) == 2 for item in planned):
        raise InputError("The story is broken: planned lines must be pairs. Use a copy of the project.")
    return Take(**row | {"planned": tuple((index, line) for index, line in planned)})


def _check_index(index: object) -> None:
    if isinstance(index, bool) or not isinstance(index, int) or not 0 <= index <= MAX_INDEX:
        raise InputError(f"The chunk index is {shorten(index)}; allowed is a whole number from 0 to {MAX_INDEX}.")
