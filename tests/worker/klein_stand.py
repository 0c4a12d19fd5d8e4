"""The tiny FLUX.2 Klein, built once, for modules that say `pytest_plugins = ["klein_stand"]` where the extra `worker` is."""

from pathlib import Path
from typing import Any

import pytest

from gateway.pipeline.system_clock import SystemClock


@pytest.fixture(scope="session")
def tiny(tmp_path_factory: pytest.TempPathFactory) -> Path:
    import torch  # noqa: PLC0415 - which only some have
    from tiny_klein import save  # noqa: PLC0415 - as above

    torch.set_num_threads(1)  # its threads wait busily for one another, and tests of two files run at a time
    folder = tmp_path_factory.mktemp("tiny-klein")
    save(folder)
    return folder


@pytest.fixture(scope="module")
def klein(tiny: Path) -> Any:
    from gateway.worker.diffusers_engine import open_engine  # noqa: PLC0415 - as above

    return open_engine(SystemClock(), str(tiny))
