"""wrk, which loads a server: so many connections that ask again as soon as they are answered."""

import json
import shutil
import subprocess
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path

import pytest

#: For which wrk is asked: enough for a curve, closer where the tail is.
PERCENTILES = (1, 5, *range(10, 90, 5), *range(90, 99), 99, 99.5, 99.9, 99.99)
#: Slower answers would count as errors. wrk's own two seconds are short of what a busy peer takes.
PATIENCE = "60s"

needed = pytest.mark.skipif(shutil.which("wrk") is None, reason="wrk is not installed (Debian: apt-get install wrk)")

_MARK = "MEASURED "
#: wrk's own report rounds to two digits and tells no more than four percentiles.
_DONE = """
done = function(summary, latency)
  local errors, shares = summary.errors, {}
  for _, share in ipairs({%s}) do
    table.insert(shares, string.format("[%%g,%%d]", share, latency:percentile(share)))
  end
  local said = '\\nMEASURED {"requests":%%d,"microseconds":%%d,"refused":%%d,"failed":%%d,"latency":[%%s]}\\n'
  local failed = errors.connect + errors.read + errors.write + errors.timeout
  io.write(string.format(said, summary.requests, summary.duration, errors.status, failed, table.concat(shares, ",")))
end
"""


@dataclass(frozen=True, slots=True)
class Load:
    """`latency`: milliseconds by percentile."""

    connections: int
    requests: int
    seconds: float
    latency: Mapping[float, float]

    @property
    def rate(self) -> float:
        return self.requests / self.seconds


def write_script(path: Path, body: Mapping[str, object], headers: Mapping[str, str]) -> Path:
    """One request, the same each time, and the answer's figures as JSON."""
    named = {"content-type": "application/json", **headers}
    lines = ['wrk.method = "POST"', f"wrk.body = [[{json.dumps(body)}]]"]
    lines += [f'wrk.headers["{name}"] = "{value}"' for name, value in named.items()]
    path.write_text("\n".join(lines) + _DONE % ", ".join(map(str, PERCENTILES)))
    return path


def load(url: str, script: Path, connections: int, seconds: int) -> Load:
    """Load `url` for so long."""
    options = ["-t", "1", "-c", str(connections), "-d", f"{seconds}s", "--timeout", PATIENCE, "-s", str(script)]
    done = subprocess.run(["wrk", *options, url], capture_output=True, text=True, check=True)
    return parse(done.stdout, connections)


def parse(said: str, connections: int) -> Load:
    """What the script's last line says. With an answer that was none the figures would be worthless: AssertionError."""
    line = said[said.rindex(_MARK) + len(_MARK) :].splitlines()[0]
    told = json.loads(line)
    assert told["requests"], f"no answer: {said}"
    assert (told["refused"], told["failed"]) == (0, 0), f"not all was answered: {said}"
    return Load(
        connections,
        told["requests"],
        told["microseconds"] / 1e6,
        {share: microseconds / 1000 for share, microseconds in told["latency"]},
    )
