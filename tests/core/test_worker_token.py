"""The token of a worker, as its agent reads it: like every secret, and with no other setting needed."""

from pathlib import Path

import pytest

from gateway.settings import SettingsError, worker_token

NAME, FILE = "IMAGEGATE_WORKER_TOKEN", "IMAGEGATE_WORKER_TOKEN_FILE"


def plain(environment: dict[str, str], directory: Path) -> str | None:
    token = worker_token(environment, directory)
    assert token is None or token.get_secret_value() not in repr(token)
    return token.get_secret_value() if token else None


def test_it_is_in_a_variable_or_in_a_file_or_in_dotenv(tmp_path: Path) -> None:
    (tmp_path / "token").write_text(" ig-worker-1\n")
    assert plain({NAME: "ig-worker-2"}, tmp_path) == "ig-worker-2"
    assert plain({FILE: str(tmp_path / "token")}, tmp_path) == "ig-worker-1"
    assert plain({"IMAGEGATE_STORE": "nonsense"}, tmp_path) is None, "that is the gateway's affair"
    (tmp_path / ".env").write_text(f"{NAME}=ig-worker-3\n")
    assert plain({}, tmp_path) == "ig-worker-3"
    assert plain({FILE: str(tmp_path / "token")}, tmp_path) == "ig-worker-1", "the environment's wins, however written"
    assert plain({NAME: ""}, tmp_path) is None


def test_twice_or_unreadable_it_is_refused_by_name(tmp_path: Path) -> None:
    with pytest.raises(SettingsError, match=f"set {NAME} or {FILE}, not both"):
        worker_token({NAME: "ig-worker-1", FILE: "/x"}, tmp_path)
    with pytest.raises(SettingsError, match=f"{FILE}: cannot read /no/such: "):
        worker_token({FILE: "/no/such"}, tmp_path)
