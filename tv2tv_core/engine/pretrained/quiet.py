"""Keeps the model libraries' own progress bars and remarks away from people; errors still come as errors."""

from __future__ import annotations


def quiet() -> None:
    """Turn off what diffusers and transformers print while they load and run."""
    from diffusers.utils import logging as diffusers_logging
    from transformers.utils import logging as transformers_logging

    for each in (diffusers_logging, transformers_logging):
        each.set_verbosity_error()
        each.disable_progress_bar()
