"""Reading a directory of policies: as Kubernetes mounts one, while it is replaced, and with what does not belong there."""

from collections.abc import Mapping
from pathlib import Path

import pytest
import yaml
from policy_sets import SHIPPED_SET, edited, write

from gateway.core.policy import parse
from gateway.core.policy_problems import PolicyError
from gateway.wiring import policy_files
from gateway.wiring.policy_files import policy_texts

COMPONENT = Path(__file__).parents[2] / "deploy/kubernetes/components/policies/kustomization.yaml"
DEARER = edited(("price = 0.0085", "price = 0.01"), ("# requests_per_minute", "requests_per_minute"))


def project(volume: Path, moment: str, texts: Mapping[str, str]) -> None:
    """Write as the kubelet does: all files anew, then one link is swapped; what is mounted are links to behind that one."""
    whole = volume / f"..{moment}"
    write(whole, dict(texts))
    fresh = volume / "..data_tmp"
    fresh.symlink_to(whole.name)
    before = (volume / "..data").resolve()
    fresh.replace(volume / "..data")
    for name in {Path(name).parts[0] for name in texts}:
        if not (volume / name).is_symlink():
            (volume / name).symlink_to(f"..data/{name}")
    if before != volume / "..data":
        for path in sorted(before.rglob("*"), reverse=True):
            path.rmdir() if path.is_dir() else path.unlink()
        before.rmdir()


def test_a_volume_of_kubernetes_is_read_once_and_through_its_links(tmp_path: Path) -> None:
    project(tmp_path, "2026_01_01", SHIPPED_SET)
    assert (tmp_path / "models").is_symlink()
    assert policy_texts(tmp_path) == SHIPPED_SET
    project(tmp_path, "2026_01_02", DEARER)
    assert policy_texts(tmp_path) == DEARER


def test_the_component_mounts_the_shipped_files_under_their_names() -> None:
    """From a ConfigMap, whose keys are the files' last names."""
    (patch,) = yaml.safe_load(COMPONENT.read_text())["patches"]
    (volume,) = yaml.safe_load(patch["patch"])["spec"]["template"]["spec"]["volumes"]
    held = {Path(name).name: text for name, text in SHIPPED_SET.items()}
    assert {each["path"]: held[each["key"]] for each in volume["configMap"]["items"]} == SHIPPED_SET


@pytest.mark.parametrize("reads", [1, 2, 3, 4])
def test_a_swap_between_two_reads_yields_no_mixture(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, reads: int
) -> None:
    """Both sets are right, and so would half of each be."""
    assert SHIPPED_SET.keys() == DEARER.keys()
    assert sum(SHIPPED_SET[name] != DEARER[name] for name in DEARER) > 1
    project(tmp_path, "2026_01_01", SHIPPED_SET)
    read, left = policy_files._text, iter(range(reads))

    def reading(path: Path) -> str:
        text = read(path)
        if next(left, None) == reads - 1:
            project(tmp_path, "2026_01_02", DEARER)
        return text

    monkeypatch.setattr(policy_files, "_text", reading)
    assert policy_texts(tmp_path) == DEARER


def test_files_that_never_come_to_rest_are_refused(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    write(tmp_path, SHIPPED_SET)
    read = policy_files._text

    def reading(path: Path) -> str:
        path.write_text(f"{read(path)}#")
        return read(path)

    monkeypatch.setattr(policy_files, "_text", reading)
    with pytest.raises(OSError, match="change while they are read"):
        policy_texts(tmp_path)


@pytest.mark.parametrize("stray", ["gatewya.toml", "model/other.toml", "models/old/other.toml", "linked/other.toml"])
def test_a_file_in_the_wrong_place_is_refused_by_its_name(tmp_path: Path, stray: str) -> None:
    elsewhere = tmp_path / "elsewhere"
    elsewhere.mkdir()
    policies = tmp_path / "policies"
    write(policies, SHIPPED_SET)
    (policies / "linked").symlink_to(elsewhere)
    (policies / stray).parent.mkdir(exist_ok=True)
    (policies / stray).write_text(SHIPPED_SET["gateway.toml"])
    with pytest.raises(PolicyError, match=stray):
        parse(policy_texts(policies))


def test_a_link_that_leads_nowhere_is_refused(tmp_path: Path) -> None:
    write(tmp_path, SHIPPED_SET)
    (tmp_path / "models/gone.toml").symlink_to("nowhere.toml")
    with pytest.raises(OSError, match="lead nowhere"):
        policy_texts(tmp_path)
