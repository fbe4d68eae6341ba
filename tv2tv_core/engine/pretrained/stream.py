"""A call that reports its steps by a callback, as an iterator: the call runs in one worker thread, steps come out here."""

from __future__ import annotations

import queue
import threading
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from typing import Generic, TypeVar

from tv2tv_core.errors import Cancelled

Result = TypeVar("Result")


@dataclass(frozen=True)
class Ended(Generic[Result]):
    """What the call returned."""

    value: Result


def stream(
    worker: ThreadPoolExecutor,
    call: Callable[[Callable[[], None], Callable[[], None]], Result],
    check: Callable[[], None],
) -> Iterator[Ended[Result] | None]:
    """Run `call(stepped, check)` in `worker`: yields None whenever it calls `stepped`, then its result.

    The `check` that the call gets also raises `Cancelled` once nobody reads this iterator any more. An error of the call
    is raised here.
    """
    news: queue.SimpleQueue[Ended[Result] | BaseException | None] = queue.SimpleQueue()
    gone = threading.Event()

    def guarded() -> None:
        if gone.is_set():
            raise Cancelled("Stopped: the chunk in progress was dropped. Generate again to continue.")
        check()

    def run() -> None:
        try:
            news.put(Ended(call(lambda: news.put(None), guarded)))
        except BaseException as error:
            news.put(error)

    worker.submit(run)
    try:
        while True:
            item = news.get()
            if isinstance(item, BaseException):
                raise item
            yield item
            if item is not None:
                return
    finally:
        gone.set()
