"""The README's Python, word for word but for address and key: it runs, and prints what stands below it. That of `Clients`,
which begins with the client's name, is run by `make clients`."""

import re
import subprocess
import sys
from pathlib import Path

import pytest
from rig import Rig

pytest_plugins = ["stand"]

README = (Path(__file__).parents[2] / "README.md").read_text()
#: code → what stands below it, if anything
SNIPPETS = dict(re.findall(r"^```python\n((?!# ).*?)^```\n(?:\n```text\n(.*?)^```)?", README, re.MULTILINE | re.DOTALL))
ADDRESS, KEY = "http://127.0.0.1:8080", "sk-ig-…"
#: what no two runs share: a job's id, what is left of a budget, the length of a compressed picture
OWN = re.compile(r"job_\w{22}|(?<='budget_remaining': )'[\d.]+'|\b\d{4,}\b")


@pytest.mark.parametrize("code", SNIPPETS, ids=lambda code: re.sub(r"\W+", "-", code.splitlines()[-1]))
def test_python_of_the_readme_prints_what_it_says(code: str, pair: Rig, tmp_path: Path) -> None:
    assert ADDRESS in code
    assert KEY in code
    file = tmp_path / "snippet.py"
    file.write_text(code.replace(ADDRESS, pair.url).replace(KEY, pair.new_key("5/month", team="readers")))
    done = subprocess.run([sys.executable, file], cwd=tmp_path, capture_output=True, check=False, timeout=60, text=True)
    assert (done.returncode, done.stderr) == (0, "")
    if said := SNIPPETS[code]:
        assert OWN.sub("…", done.stdout) == OWN.sub("…", said)
    else:
        assert re.fullmatch(rf"{pair.url}/files/\S+\n", done.stdout)


def test_no_python_of_the_readme_is_left_out() -> None:
    assert len(SNIPPETS) == len(re.findall(r"^```python\n(?!# )", README, re.MULTILINE)) > 0
