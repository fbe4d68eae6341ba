"""Errors meant for people: one line that says what was received, what is allowed and what to do next."""


class TV2TVError(Exception):
    """Base of every error that a person can act on; its text is one line without internals."""


class InputError(TV2TVError):
    """Something the person gave (text, file, number) cannot be used."""


class WeightsError(TV2TVError):
    """Weights are missing, altered, or do not fit the model."""


class StorageError(TV2TVError):
    """The disk refused to read or write; nothing that existed before was replaced."""


class Cancelled(TV2TVError):
    """The person asked to stop; raised inside the engine within one denoising step."""
