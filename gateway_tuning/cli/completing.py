"""Ids for the shell to complete: those of the store that a command would open."""

from collections.abc import Callable


def ids(argument: str) -> Callable[[str], list[str]]:
    """For `typer.Argument(autocompletion=...)`; `argument` is its name, as `failures` knows it."""

    def completed(incomplete: str) -> list[str]:
        # Imported when somebody presses the key: the help of a command loads none of it.
        from gateway_tuning.cli.failures import beginning

        return beginning(incomplete, argument)

    return completed
