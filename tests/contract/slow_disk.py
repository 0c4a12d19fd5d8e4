"""A drive that is slow to sync, played through `os.fsync`, which is all that pictures ask of one."""

import os
import stat
from collections.abc import Callable

import pytest


def while_it_syncs(
    monkeypatch: pytest.MonkeyPatch, *, a_file: Callable[[int], object] = id, the_directory: Callable[[], object]
) -> None:
    """A disk slow enough for other replicas to do this before each sync ends."""
    fsync = os.fsync

    def slow(descriptor: int) -> None:
        fsync(descriptor)
        if stat.S_ISDIR(os.fstat(descriptor).st_mode):
            the_directory()
        else:
            a_file(descriptor)

    monkeypatch.setattr(os, "fsync", slow)
