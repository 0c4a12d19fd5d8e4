"""Each snippet of the README's section `Clients`, run by the client that it is for: a picture comes, and it was bought once."""

import json
import os
import re
import shutil
import subprocess
import urllib.request
from dataclasses import dataclass
from pathlib import Path

import pytest
from gate import PRICE, Gate, described
from snippets import SNIPPETS, VERSIONS, Snippet

HERE = Path(__file__).parent
INSTALLED = HERE.parents[1] / ".cache" / "clients"
NODE_MODULES = INSTALLED / "node" / "node_modules"
#: some of them look for news of their own on the Internet when imported
QUIET = {"LITELLM_LOCAL_MODEL_COST_MAP": "True"}
HARBOUR = "a harbour in the rain"


@dataclass(frozen=True, slots=True)
class Case:
    #: what runs the snippet: `node`, `sh`, or the environment in .cache/clients that make made of that .txt
    runner: str
    #: the files that the snippet writes, in the order of their names, and then what is behind the URLs that it prints
    pictures: tuple[str, ...]
    prompts: tuple[str, ...] = (HARBOUR,)


CASES = {
    "openai, Python": Case("openai", ("PNG 1024x1024",)),
    "openai, Node": Case("node", ("PNG 1024x1024",)),
    "Vercel AI SDK": Case("node", ("WEBP 1024x1024",)),
    "Vercel AI SDK, OpenAI provider": Case("node", ("PNG 1024x1024",)),
    "LangChain": Case("langchain", ("WEBP 1344x768",)),
    "LlamaIndex": Case("llamaindex", ("PNG 1344x768",)),
    "LiteLLM": Case("litellm", ("WEBP 1024x1024",)),
    "curl": Case("sh", ("WEBP 1024x1024",)),
}
#: has a test of its own, since it is no library
SERVER = "Open WebUI"


def command(runner: str, snippet: Snippet) -> list[str]:
    """What runs a file of that snippet, or a skip where the machine has not got it."""
    if runner in ("node", "sh"):
        tools = ["node", "npm"] if runner == "node" else snippet.install.split()[-1:]
        if missing := [tool for tool in tools if shutil.which(tool) is None]:
            pytest.skip(f"not on this machine: {missing}")
        return [runner]
    return [str(INSTALLED / runner / "bin" / "python")]


def run(case: Case, snippet: Snippet, code: str, folder: Path) -> str:
    """What the snippet prints, run in `folder`."""
    words = command(case.runner, snippet)
    if case.runner == "node":
        (folder / "node_modules").symlink_to(NODE_MODULES)
    file = folder / {"python": "snippet.py", "js": "snippet.mjs", "sh": "snippet.sh"}[snippet.language]
    file.write_text(code)
    environment = {"PATH": os.environ["PATH"], "HOME": str(folder), **QUIET}
    done = subprocess.run(
        [*words, file], cwd=folder, env=environment, capture_output=True, check=False, timeout=100, text=True
    )
    file.unlink()
    assert done.returncode == 0, done.stderr
    return done.stdout


def fetched(url: str) -> bytes:
    with urllib.request.urlopen(url, timeout=30) as answer:
        data: bytes = answer.read()
        return data


def pinned(case: Case) -> dict[str, str]:
    """Name → version of what `make clients` installs for it."""
    if case.runner == "node":
        found: dict[str, str] = json.loads((HERE / "node" / "package.json").read_text())["dependencies"]
        return found
    return dict(line.split("==") for line in (HERE / f"{case.runner}.txt").read_text().splitlines())


@pytest.mark.parametrize("client", CASES)
def test_snippet_of(client: str, gate: Gate, tmp_path: Path) -> None:
    case, snippet, billed = CASES[client], SNIPPETS[client], len(gate.billed())
    team = re.sub(r"\W+", "-", client)
    printed = run(case, snippet, snippet.asking(gate.url, gate.new_key(team)), tmp_path)
    written = [path.read_bytes() for path in sorted(tmp_path.glob("[a-z]*.*"))]
    pictures = [*written, *map(fetched, re.findall(r"http://\S+", printed))]
    assert tuple(map(described, pictures)) == case.pictures
    assert tuple(gate.billed()[billed:]) == case.prompts
    assert gate.spent(team) == len(case.prompts) * PRICE


def test_every_client_has_its_row_its_snippet_and_its_case() -> None:
    assert list(VERSIONS) == list(SNIPPETS) == [*CASES, SERVER]


@pytest.mark.parametrize("client", [client for client, case in CASES.items() if case.runner != "sh"])
def test_what_the_snippet_says_to_install_is_what_was_tried(client: str) -> None:
    versions = pinned(CASES[client])
    packages = SNIPPETS[client].install.split()[2:]
    assert set(packages) <= set(versions)
    assert VERSIONS[client] == versions[packages[0]]
