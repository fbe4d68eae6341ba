"""An evaluation as a list of items, done one after the other; what is finished already is skipped."""

from __future__ import annotations

import time
from collections.abc import Callable, Mapping, Sequence
from concurrent.futures import Future, ThreadPoolExecutor
from dataclasses import dataclass
from typing import Any

from tqdm import tqdm

from tv2tv_core.evaluate.results import Results

Tick = Callable[[], None]
Measured = tuple[dict[str, Any], Mapping[str, bytes]]
SECONDS = "seconds"  # in every value: what the item took


@dataclass(frozen=True, eq=False)
class Item:
    """One thing to measure. `key` names it and all that its value depends on, apart from the identity of the results.

    `cost` is about how many chunks' time it takes. `measure(prepared, tick)` gives the value as plain JSON data and files
    by name, and calls `tick` once per chunk made. `prepare`, if any, runs in another thread while the item before is measured;
    it must not touch the model.
    """

    key: str
    cost: int
    measure: Callable[[Any, Tick], Measured]
    prepare: Callable[[], Any] | None = None


def run_items(items: Sequence[Item], results: Results, bar: tqdm) -> float:
    """Measure every item that `results` lacks, in order. `bar` counts costs, its total is set here.

    Returns the seconds that all items took, also those of earlier runs.
    """
    todo = [item for item in items if item.key not in results]
    bar.total = sum(item.cost for item in items)
    bar.initial = bar.n = bar.total - sum(item.cost for item in todo)
    bar.refresh()
    pool = ThreadPoolExecutor(1, thread_name_prefix="prepare")
    try:
        ahead = _submit(pool, todo[0]) if todo else None
        for number, item in enumerate(todo):
            began = time.monotonic()
            prepared = None if ahead is None else ahead.result()
            ahead = _submit(pool, todo[number + 1]) if number + 1 < len(todo) else None
            _measure(item, prepared, results, bar, began)
    finally:
        pool.shutdown(wait=True, cancel_futures=True)
    return sum(results[item.key][SECONDS] for item in items)


def _submit(pool: ThreadPoolExecutor, item: Item) -> Future[Any] | None:
    return None if item.prepare is None else pool.submit(item.prepare)


def _measure(item: Item, prepared: object, results: Results, bar: tqdm, began: float) -> None:
    counted = 0

    def tick() -> None:
        nonlocal counted
        if counted < item.cost:
            counted += 1
            bar.update(1)

    bar.set_postfix_str(item.key.split("/")[0], refresh=False)
    value, files = item.measure(prepared, tick)
    results.put(item.key, {**value, SECONDS: round(time.monotonic() - began, 2)}, files)
    bar.update(item.cost - counted)
