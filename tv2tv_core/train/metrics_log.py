"""The metrics of a run as JSON lines on disk, cut back to the checkpoint when a killed run resumes."""

from __future__ import annotations

import json
import math
from pathlib import Path
from typing import Any

from tv2tv_core.errors import StorageError


class MetricsLog:
    """Append-only `metrics.jsonl`; every row has a `step` and a `kind` ("train", "valid", "config")."""

    def __init__(self, path: Path) -> None:
        self.path = path

    def rows(self) -> list[dict[str, Any]]:
        """All whole rows in order; a last line torn by a kill is left out."""
        if not self.path.exists():
            return []
        found = []
        for line in self.path.read_text(encoding="utf-8").splitlines():
            try:
                found.append(json.loads(line))
            except json.JSONDecodeError:
                break
        return found

    def rewind(self, step: int) -> None:
        """Drops the rows after `step`: the resumed run writes them again."""
        if not self.path.exists():
            return
        kept = [row for row in self.rows() if row["step"] <= step]
        temporary = self.path.with_suffix(".tmp")
        self._write(temporary, "".join(json.dumps(row) + "\n" for row in kept), "w")
        temporary.replace(self.path)

    def append(self, step: int, kind: str, values: dict[str, Any], clock: dict[str, float] | None = None) -> None:
        """One row. `values` are exactly repeatable; what depends on the clock goes into `clock`."""
        row: dict[str, Any] = {"step": step, "kind": kind, **{key: _plain(value) for key, value in values.items()}}
        if clock:
            row["clock"] = {key: round(value, 3) for key, value in clock.items()}
        self._write(self.path, json.dumps(row) + "\n", "a")

    @staticmethod
    def _write(path: Path, text: str, mode: str) -> None:
        try:
            with path.open(mode, encoding="utf-8") as file:
                file.write(text)
        except OSError as error:
            raise StorageError(
                f"Could not write {path.name}: {error.strerror}. Free some space and start again."
            ) from error


def _plain(value: Any) -> Any:
    """JSON has no infinity and no NaN: those become strings."""
    return str(value) if isinstance(value, float) and not math.isfinite(value) else value


class Means:
    """Running means of named values between two log rows; its state travels with the checkpoint."""

    def __init__(self) -> None:
        self.sums: dict[str, float] = {}
        self.counts: dict[str, int] = {}

    def add(self, values: dict[str, float]) -> None:
        """Counts one observation of each value."""
        for key, value in values.items():
            self.sums[key] = self.sums.get(key, 0.0) + float(value)
            self.counts[key] = self.counts.get(key, 0) + 1

    def take(self) -> dict[str, float]:
        """The means so far; starts anew."""
        means = {key: self.sums[key] / self.counts[key] for key in self.sums}
        self.sums, self.counts = {}, {}
        return means

    def state(self) -> dict[str, Any]:
        """What `restore` needs, as plain JSON values."""
        return {"sums": dict(self.sums), "counts": dict(self.counts)}

    def restore(self, state: dict[str, Any]) -> None:
        """Goes on from an earlier `state`."""
        self.sums, self.counts = dict(state["sums"]), dict(state["counts"])
