"""The Lua scripts: what happens in one step, or not at all, is one of them."""

from collections.abc import Mapping
from dataclasses import dataclass
from hashlib import sha1
from importlib.resources import files

#: What each begins with: what later ones of these call stands before them.
_PRELUDE = ("prelude.lua", "sharing.lua", "ending.lua")


@dataclass(frozen=True, slots=True)
class Script:
    """`digest` is what Redis calls it by."""

    source: str
    digest: str


def read_scripts() -> Mapping[str, Script]:
    """By the names of their files, without `.lua`."""
    folder = files(__package__).joinpath("lua")
    prelude = "".join(folder.joinpath(name).read_text(encoding="utf-8") for name in _PRELUDE)
    return {
        file.name.removesuffix(".lua"): _script(prelude + file.read_text(encoding="utf-8"))
        for file in folder.iterdir()
        if file.name.endswith(".lua") and file.name not in _PRELUDE
    }


def _script(source: str) -> Script:
    return Script(source, sha1(source.encode(), usedforsecurity=False).hexdigest())
