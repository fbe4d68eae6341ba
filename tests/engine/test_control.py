"""A control stops a run from another thread."""

import threading

import pytest

from tv2tv_core.engine.control import Control
from tv2tv_core.errors import Cancelled


def test_cancel_is_final_and_pause_can_be_withdrawn() -> None:
    control = Control()
    control.check()
    control.pause()
    assert control.pausing
    control.resume()
    assert not control.pausing
    control.cancel()
    control.resume()
    with pytest.raises(Cancelled):
        control.check()


def test_a_cancel_from_another_thread_is_seen() -> None:
    control = Control()
    thread = threading.Thread(target=control.cancel)
    thread.start()
    thread.join()
    assert control.cancelled
