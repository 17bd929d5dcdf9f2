"""What a user can mend: each message names what was given, what was expected and the call that works."""

__all__ = ["BackendError", "CheckpointError", "DataError", "InputError"]


class InputError(ValueError):
    """An argument, a tensor or a state that does not fit: wrong rank, channels, dtype, device, name or range."""


class DataError(InputError):
    """A data file that is missing, damaged or not what it should be."""


class CheckpointError(InputError):
    """A checkpoint or run folder that is truncated, foreign or of another network."""


class BackendError(RuntimeError):
    """A backend was asked for by name and cannot serve; the message says why."""
