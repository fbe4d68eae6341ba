"""An evaluation as a list of items, done one after the other; what is finished already is skipped."""

from __future__ import annotations

import time
from collections.abc import Callable, Mapping, Sequence
from concurrent.futures import Future, ThreadPoolExecutor
from dataclasses import dataclass
from typing import Any

from filelock import BaseFileLock
from tqdm import tqdm

from tv2tv_core.evaluate.results import Results

Tick = Callable[[], None]
Measured = tuple[dict[str, Any], Mapping[str, bytes]]
WAIT = 1.0  # seconds
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

    Another process that runs the same items into the same folder takes a part of them: each item is measured once, and
    both return when all are there. Returns the seconds that all items took, whoever measured them.
    """
    todo = [item for item in items if item.key not in results]
    bar.total = sum(item.cost for item in items)
    bar.initial = bar.n = bar.total - sum(item.cost for item in todo)
    bar.refresh()
    pool = ThreadPoolExecutor(1, thread_name_prefix="prepare")
    held: list[Claimed] = []  # what is measured, and what is prepared meanwhile
    try:
        while todo or held:
            if not held and not _claim_next(todo, results, bar, pool, held):
                time.sleep(WAIT)  # what is left is in other hands
                continue
            (item, claim, preparing), began = held[0], time.monotonic()
            prepared = None if preparing is None else preparing.result()
            _claim_next(todo, results, bar, pool, held)
            _measure(item, prepared, results, bar, began)
            claim.release()
            del held[0]
    finally:
        pool.shutdown(wait=True, cancel_futures=True)
        for _, claim, _ in held:
            claim.release()
    return sum(results[item.key][SECONDS] for item in items)


Claimed = tuple[Item, BaseFileLock, Future[Any] | None]


def _claim_next(todo: list[Item], results: Results, bar: tqdm, pool: ThreadPoolExecutor, held: list[Claimed]) -> bool:
    """Take the first free item out of `todo` into `held` and begin to prepare it; what others have finished goes too."""
    for item in list(todo):
        claim = results.claim(item.key)
        if claim is not None:
            todo.remove(item)
            held.append((item, claim, None if item.prepare is None else pool.submit(item.prepare)))
            return True
        if item.key in results:
            todo.remove(item)
            bar.update(item.cost)
    return False


def run_groups(
    groups: Mapping[str, Sequence[Item]], results: Results, desc: str
) -> tuple[dict[str, list[dict[str, Any]]], float]:
    """Measure all items under a bar called `desc`; returns their values by group, in order, and the seconds they took."""
    with tqdm(unit="chunk", desc=desc, smoothing=0.05) as bar:
        seconds = run_items([item for items in groups.values() for item in items], results, bar)
    return {name: [results[item.key] for item in items] for name, items in groups.items()}, seconds


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
