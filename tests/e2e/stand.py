"""The pair of processes that end-to-end tests share: a module that says `pytest_plugins = ["stand"]` has its fixtures."""

from collections.abc import Iterator

import pytest
from rig import Rig, rig


@pytest.fixture(scope="session")
def pair(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Rig]:
    """`imagegate serve` before `imagegate simulator`, which answers in each result shape in turn."""
    with rig(tmp_path_factory.mktemp("pair"), "--shape", "rotate") as running:
        yield running
