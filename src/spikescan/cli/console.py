"""The terminal of all commands."""

import rich.console

__all__ = ["Console"]


class Console(rich.console.Console):
    """Rich's, which leaves a reader that has gone (head, say) to `main`; its own way would be to exit with 1."""

    def on_broken_pipe(self) -> None:
        """Called while the `BrokenPipeError` is handled."""
        raise
