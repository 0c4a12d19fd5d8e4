"""A click group that imports a command only when it is run, so that `imagegate --help` is quick."""

import gc
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass
from importlib import import_module

import click


@dataclass(frozen=True, slots=True)
class Entry:
    """Where a command lives, as `module:attribute`, and the one line that the group's help says of it."""

    where: str
    help: str


class LazyGroup(click.Group):
    def __init__(self, name: str, entries: Mapping[str, Entry], help: str) -> None:  # noqa: A002 - click's own word
        super().__init__(name, help=help, no_args_is_help=True)
        self._entries = entries

    def list_commands(self, ctx: click.Context) -> list[str]:  # noqa: ARG002 - click's signature
        return list(self._entries)

    def get_command(self, ctx: click.Context, cmd_name: str) -> click.Command | None:  # noqa: ARG002 - click's signature
        entry = self._entries.get(cmd_name)
        if entry is None:
            return None
        module, _, attribute = entry.where.partition(":")
        with _kept():
            command = getattr(import_module(module), attribute)
        if not isinstance(command, click.Command):
            raise TypeError(f"{entry.where} is no command")
        return command

    def format_commands(self, ctx: click.Context, formatter: click.HelpFormatter) -> None:  # noqa: ARG002 - click's signature
        """From the entries alone: click would import every command to read its help."""
        with formatter.section("Commands"):
            formatter.write_dl([(name, entry.help) for name, entry in self._entries.items()])


@contextmanager
def _kept() -> Iterator[None]:
    """What is imported lives as long as the process: looking for garbage in it would be a sixth of a start, and a pause in
    whatever runs later."""
    gc.disable()
    try:
        yield
    finally:
        gc.freeze()
        gc.enable()
