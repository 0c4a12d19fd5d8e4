"""The disk under store and pictures, as far as an operator asks about it."""

import os
import shutil
import stat
import time
from collections.abc import Iterable
from pathlib import Path
from tempfile import TemporaryFile
from typing import IO

_PAGE = bytes(4096)
_TRIES = 3


def sync_seconds(directory: Path) -> float:
    """How long a small write takes until the disk has it, at best: one alone tells of its neighbours. Raises OSError."""
    with TemporaryFile(dir=directory) as file:
        return min(_written(file) for _ in range(_TRIES))


def _written(file: IO[bytes]) -> float:
    began = time.perf_counter()
    file.write(_PAGE)
    file.flush()
    os.fsync(file.fileno())
    return time.perf_counter() - began


def free_bytes(directories: Iterable[Path]) -> dict[str, int]:
    """By directory, one for each disk. Of a directory yet to be made, what the one it will be in has."""
    free: dict[int, tuple[str, int]] = {}
    for directory in directories:
        there = next(path for path in (directory.absolute(), *directory.absolute().parents) if path.exists())
        free.setdefault(there.stat().st_dev, (str(directory), shutil.disk_usage(there).free))
    return dict(free.values())


def modes(paths: Iterable[Path]) -> dict[str, int]:
    """Permission bits of those that are there."""
    return {str(path): stat.S_IMODE(path.lstat().st_mode) for path in paths if path.exists()}
