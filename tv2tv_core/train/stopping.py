"""Signals of a training run: stop after the step in flight, or make a sample sheet now."""

from __future__ import annotations

import signal
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any


class Requests:
    """What has been asked for from outside since the run began."""

    def __init__(self) -> None:
        self.stop = threading.Event()
        self.sheet = threading.Event()

    @contextmanager
    def listening(self) -> Iterator[None]:
        """SIGTERM and SIGINT ask for a stop (a second one acts at once); SIGUSR1, where there is one, for a sheet.

        Outside the main thread no signal can be taken, and none is.
        """
        if threading.current_thread() is not threading.main_thread():
            yield
            return
        stops = (signal.SIGTERM, signal.SIGINT)
        kept = {number: signal.getsignal(number) for number in stops}

        def stop(number: int, _frame: Any) -> None:
            self.stop.set()
            signal.signal(number, kept[number])

        for number in stops:
            signal.signal(number, stop)
        if hasattr(signal, "SIGUSR1"):
            kept[signal.SIGUSR1] = signal.signal(signal.SIGUSR1, lambda _number, _frame: self.sheet.set())
        try:
            yield
        finally:
            for number, handler in kept.items():
                signal.signal(number, handler)
