"""Policies as files: those that came with the package, or the operator's own."""

from pathlib import Path

from gateway.core.policy import Policies, parse
from gateway.settings import Settings


def policy_directory(settings: Settings) -> Path:
    return settings.policies or packaged_policies()


def read_policies(settings: Settings) -> Policies:
    """Those that the settings name. Raises PolicyError, OSError."""
    return parse(policy_texts(policy_directory(settings)))


def packaged_policies() -> Path:
    """The policies in the wheel; in an editable install, which has none, those of the checkout."""
    package = Path(__file__).parents[1]
    inside = package / "_policies"
    return inside if inside.is_dir() else package.parent / "policies"


def policy_texts(directory: Path) -> dict[str, str]:
    """Every policy file by its name within the directory. Raises OSError, also for one that is not UTF-8."""
    if not directory.is_dir():
        raise OSError(f"{directory} is no directory")
    texts = {}
    for path in sorted(directory.rglob("*.toml")):
        try:
            texts[path.relative_to(directory).as_posix()] = path.read_text(encoding="utf-8")
        except UnicodeDecodeError as error:
            raise OSError(f"{path} is not UTF-8 text") from error
    return texts
