"""The gateway that every client asks, before a simulator: two processes."""

from collections.abc import Iterator

import pytest
from gate import Gate
from processes import ADMIN_KEY, gateway, simulator


@pytest.fixture(scope="session")
def gate(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Gate]:
    directory = tmp_path_factory.mktemp("gate")
    with (
        simulator(directory, "--median", "0.2", "--sigma", "0.1") as upstream,
        gateway(directory, upstream.url, IMAGEGATE_ADMIN_KEY=ADMIN_KEY) as process,
    ):
        yield Gate(upstream, process)
