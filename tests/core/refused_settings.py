"""What a person is told of settings that are wrong."""

from pathlib import Path

import pytest

from gateway.settings import SettingsError, read


def refusal(directory: Path, **environment: str) -> str:
    with pytest.raises(SettingsError) as raised:
        read(environment, directory)
    return str(raised.value)
