"""Each snippet of the README's section `Clients`, run by the client that it is for: a picture comes, and it was bought once."""

import json
import os
import re
import shutil
import subprocess
from dataclasses import dataclass
from pathlib import Path

import pytest
from gate import PRICE, Gate, described, fetched
from processes import ADMIN_KEY, bill, gateway, simulator
from snippets import SNIPPETS, VERSIONS, Snippet

pytest_plugins = ["asked_gate"]

HERE = Path(__file__).parent
INSTALLED = HERE.parents[1] / ".cache" / "clients"
NODE_MODULES = INSTALLED / "node" / "node_modules"
#: some of them look for news of their own on the Internet when imported
QUIET = {"LITELLM_LOCAL_MODEL_COST_MAP": "True"}


@dataclass(frozen=True, slots=True)
class Case:
    #: what runs the snippet: `node`, `sh`, or the environment in .cache/clients that make made of that .txt
    runner: str
    #: what the snippet asks for, in turn
    prompts: tuple[str, ...]
    #: what each of the pictures is
    picture: str
    #: how often it sends what no budget covers
    refused: int = 1


BOTH = ("a harbour in the rain", "the same harbour at night")
CASES = {
    "openai, Python": Case("openai", BOTH, "PNG 1024x1024"),
    "openai, Node": Case("node", BOTH, "PNG 1024x1024"),
    "Vercel AI SDK": Case("node", BOTH, "WEBP 1024x1024", refused=3),
    "Vercel AI SDK, OpenAI provider": Case("node", BOTH, "PNG 1024x1024", refused=3),
    "LangChain": Case("langchain", BOTH[:1], "WEBP 1344x768"),
    "LlamaIndex": Case("llamaindex", BOTH[:1], "PNG 1344x768"),
    "LiteLLM": Case("litellm", BOTH, "PNG 1024x1024"),
    "curl": Case("sh", BOTH, "WEBP 1024x1024"),
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
    python = INSTALLED / runner / "bin" / "python"
    assert python.exists(), "`make clients` installs it"
    return [str(python)]


def run(case: Case, snippet: Snippet, code: str, folder: Path) -> subprocess.CompletedProcess[str]:
    """The snippet's code, run in `folder`, where the pictures that it writes are left."""
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
    return done


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
    done = run(case, snippet, snippet.asking(gate.url, gate.new_key(team)), tmp_path)
    assert done.returncode == 0, done.stderr
    written = [path.read_bytes() for path in sorted(tmp_path.glob("[a-z]*.*"))]
    pictures = [*written, *map(fetched, re.findall(r"http://\S+", done.stdout))]
    assert list(map(described, pictures)) == [case.picture] * len(case.prompts)
    assert len(set(pictures)) == len(pictures)
    bought = gate.billed()[billed:]
    assert tuple(prompt for prompt, _seed in bought) == case.prompts
    if "seed" in snippet.code:
        assert bought[0][1] == 7
    assert gate.spent(team) == len(case.prompts) * PRICE


@pytest.mark.parametrize("client", CASES)
def test_how_often_an_order_that_no_budget_covers_is_sent_by(client: str, gate: Gate, tmp_path: Path) -> None:
    case, snippet, refused = CASES[client], SNIPPETS[client], gate.refused()
    done = run(case, snippet, snippet.asking(gate.url, gate.new_key("poor", "0.001/day")), tmp_path)
    assert done.returncode != 0
    assert gate.refused() == refused + case.refused


@pytest.mark.parametrize("keyed", [True, False])
def test_what_the_vercel_ai_sdk_repeats_is_bought_once_under_a_key(keyed: bool, tmp_path: Path) -> None:
    """Each picture takes a second longer than its first call waits. Without a key each of the three attempts at the first
    buys it again, and none is given it."""
    client = "Vercel AI SDK, OpenAI provider"
    with (
        simulator(tmp_path, "--median", "2", "--sigma", "0") as upstream,
        gateway(tmp_path, upstream.url, IMAGEGATE_ADMIN_KEY=ADMIN_KEY, IMAGEGATE_MAX_WAIT="1") as process,
    ):
        code = SNIPPETS[client].asking(process.url, Gate(upstream, process).new_key("slow"))
        assert code.count("headers: once()") == len(BOTH)
        done = run(CASES[client], SNIPPETS[client], code if keyed else code.replace("headers: once()", ""), tmp_path)
        bought = [job["prompt"] for job in bill(upstream)["jobs"]]
        assert (done.returncode, bought) == ((0, [*BOTH]) if keyed else (1, [BOTH[0]] * 3))


def test_every_client_has_its_row_its_snippet_and_its_case() -> None:
    assert list(VERSIONS) == list(SNIPPETS) == [*CASES, SERVER]


@pytest.mark.parametrize("client", [client for client, case in CASES.items() if case.runner != "sh"])
def test_what_the_snippet_says_to_install_is_what_was_tried(client: str) -> None:
    versions = pinned(CASES[client])
    packages = SNIPPETS[client].install.split()[2:]
    assert set(packages) <= set(versions)
    assert VERSIONS[client] == versions[packages[0]]
