"""Policies as files: those that came with the package, or the operator's own."""

from collections.abc import Iterator
from contextlib import suppress
from pathlib import Path

from gateway.core.policy import Policies, parse
from gateway.settings import Settings

#: Of one set; a swap disturbs two of them at most.
_READINGS = 10


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
    """Every policy file by its name within the directory, all of them as they stood there at one moment.

    Read one after another, files that are being replaced would come as half of each set, which may well parse: so they are
    read until twice they are the same. Raises OSError, also where they do not come to rest, and for one that is not UTF-8.
    """
    if not directory.is_dir():
        raise OSError(f"{directory} is no directory")
    before = None
    for _ in range(_READINGS):
        with suppress(FileNotFoundError):  # replaced between its name and its text
            texts = {path.relative_to(directory).as_posix(): _text(path) for path in _files(directory)}
            if texts == before:
                return texts
            before = texts
    raise OSError(f"{directory}: its files change while they are read, or lead nowhere")


def _files(directory: Path) -> Iterator[Path]:
    """Whatever is named as a policy file, in the wrong place as well, so that none is ignored for its misspelt name.

    A volume of Kubernetes' keeps all of its files twice: what is mounted, `models`, is a link to `..data/models`.
    """
    for path in sorted(directory.iterdir()):
        if path.name.startswith(".."):
            continue
        if path.is_dir():
            yield from _files(path)
        elif path.suffix == ".toml":
            yield path


def _text(path: Path) -> str:
    try:
        return path.read_text(encoding="utf-8")
    except UnicodeDecodeError as error:
        raise OSError(f"{path} is not UTF-8 text") from error
