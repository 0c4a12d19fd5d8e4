"""IMAGEGATE_PROVIDER_KEYS: whose key is whose, shown to nobody."""

from pathlib import Path

import pytest
from house import packaged
from refused_settings import refusal

from gateway.settings import SettingsError, read
from gateway.wiring.server_keys import check_keys

NAME = "IMAGEGATE_PROVIDER_KEYS"


def test_each_server_has_its_key_and_no_repr_shows_one(tmp_path: Path) -> None:
    settings = read({NAME: "vllm=sk-=1, other_2=sk-2"}, tmp_path)
    found = {name: key.get_secret_value() for name, key in settings.keys_of_providers.items()}
    assert found == {"vllm": "sk-=1", "other_2": "sk-2"}
    assert "sk-" not in repr(settings)
    assert "sk-" not in repr(settings.keys_of_providers)
    assert read({}, tmp_path).keys_of_providers == {}


def test_they_may_lie_in_a_file(tmp_path: Path) -> None:
    (tmp_path / "keys").write_text("vllm=sk-1\n")
    settings = read({f"{NAME}_FILE": str(tmp_path / "keys")}, tmp_path)
    assert settings.keys_of_providers["vllm"].get_secret_value() == "sk-1"


@pytest.mark.parametrize("value", ["sk-1", "vllm=", "=sk-1", "vllm=sk 1", "vllm=sk-1,", "V=sk-1", "vllm=schlüssel"])
def test_what_is_no_list_of_names_and_keys_is_refused_without_being_told(tmp_path: Path, value: str) -> None:
    told = refusal(tmp_path, **{NAME: value})
    assert told == f"{NAME}: must be NAME=KEY,NAME=KEY, each key printable ASCII without blanks and commas"


def test_two_keys_for_one_name_are_refused(tmp_path: Path) -> None:
    assert refusal(tmp_path, **{NAME: "vllm=sk-1,vllm=sk-2"}) == f"{NAME}: has two keys for one name"


def test_a_key_of_no_server_stops_the_start(tmp_path: Path) -> None:
    with pytest.raises(SettingsError, match=r"has a key of vlm, which is none of the \[\[servers\]\] in routes.toml"):
        check_keys(read({NAME: "vlm=sk-1"}, tmp_path), packaged())
    check_keys(read({}, tmp_path), packaged())
