"""The README's section `Clients`, taken apart: the table, and each client's snippet as it stands there."""

import re
from dataclasses import dataclass
from pathlib import Path

_README = (Path(__file__).parents[2] / "README.md").read_text()
_SECTION = _README.partition("\n## Clients\n")[2].partition("\n## ")[0]
_ADDRESS = "http://127.0.0.1:8080"
_KEY = "sk-ig-…"

#: client → version, of the table
VERSIONS: dict[str, str] = dict(re.findall(r"^\| ([^|]+) \| (\d[\d.]+) \|", _SECTION, re.MULTILINE))


@dataclass(frozen=True, slots=True)
class Snippet:
    client: str
    #: how its first line says to get the client: `pip install openai`
    install: str
    #: the fence's info string
    language: str
    code: str

    def asking(self, url: str, key: str) -> str:
        """The code with that gateway and that key in place of the two placeholders, and not a word else changed."""
        assert _ADDRESS in self.code
        assert _KEY in self.code
        return self.code.replace(_ADDRESS, url).replace(_KEY, key)


SNIPPETS: dict[str, Snippet] = {
    client: Snippet(client, install, language, code)
    for language, code, client, install in re.findall(
        r"^```(\w+)\n((?:#|//) ([^:\n]+): ([^\n]+)\n.*?)^```", _SECTION, re.MULTILINE | re.DOTALL
    )
}
