"""How a person stops a running generation from another thread: pause at the next boundary, or cancel at once."""

from __future__ import annotations

import threading

from tv2tv_core.errors import Cancelled


class Control:
    """Two thread-safe flags that the generation loop obeys; one control belongs to one run.

    A pause lets the chunk in flight finish. A cancel drops it within one token or one denoising step and is final.
    """

    def __init__(self) -> None:
        self._pause = threading.Event()
        self._cancel = threading.Event()

    def pause(self) -> None:
        """Stop at the next boundary."""
        self._pause.set()

    def resume(self) -> None:
        """Withdraw a pause that has not been reached yet. A run that has paused goes on as a new run."""
        self._pause.clear()

    def cancel(self) -> None:
        """Drop the chunk in flight and stop."""
        self._cancel.set()

    @property
    def pausing(self) -> bool:
        """Whether a pause is asked for."""
        return self._pause.is_set()

    @property
    def cancelled(self) -> bool:
        """Whether a cancel is asked for."""
        return self._cancel.is_set()

    def check(self) -> None:
        """Raise `Cancelled` when asked to cancel; backends call this between tokens and between denoising steps."""
        if self._cancel.is_set():
            raise Cancelled("Stopped: the chunk in progress was dropped. Generate again to continue.")
