"""Sets of policies as an operator leaves them: the shipped ones with edits, and in a directory."""

from pathlib import Path

from gateway.core.policy import parse
from gateway.wiring.policy_files import packaged_policies, policy_texts

SHIPPED_SET = dict(policy_texts(packaged_policies()))


def edited(*edits: tuple[str, str]) -> dict[str, str]:
    """The shipped files with each of these strings, which is there once, replaced."""
    whole = SHIPPED_SET
    for old, new in edits:
        assert sum(text.count(old) for text in whole.values()) == 1, old
        whole = {name: text.replace(old, new) for name, text in whole.items()}
    return whole


def write(directory: Path, texts: dict[str, str]) -> str:
    """These files and no others; their digest."""
    for path in directory.rglob("*.toml"):
        path.unlink()
    for name, text in texts.items():
        (directory / name).parent.mkdir(parents=True, exist_ok=True)
        (directory / name).write_text(text)
    return parse(texts).digest
