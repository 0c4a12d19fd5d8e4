"""One turn of one peer: start it, leave it idle, load it with each work, and see that it did the work."""

import json
import time
import urllib.error
import urllib.request
from base64 import b64decode
from collections.abc import Mapping
from dataclasses import asdict, dataclass, field
from functools import partial
from pathlib import Path

from floors import immediate_upstream
from peers import MODEL, Peer, Stand
from processes import Process, eventually, manage
from usage import cpu_seconds, resident, rest, sampled
from wrk import Load, load, write_script

#: What is asked of everybody, word for word.
WORKS: Mapping[str, Mapping[str, object]] = {
    "url": {"model": MODEL, "prompt": "a lighthouse", "size": "1024x1024", "output_format": "webp"},
    "b64_json": {"model": MODEL, "prompt": "a lighthouse", "size": "512x512", "output_format": "png"},
}
#: Seconds between the start and idle memory, and of load before the measured one: caches fill, durations are learned.
IDLE, WARM_UP = 2.0, 2
WARM_CONNECTIONS = 16
#: of one image of the model, as the packaged policies have it
_PRICE = 8_500
#: Seconds between two looks at the memory.
_LOOKS = 0.2


#: Seconds for each number of connections, for each work.
Plan = Mapping[str, Mapping[int, int]]


@dataclass(frozen=True, slots=True)
class Loaded:
    """`cpu`: seconds of the peer's processes."""

    load: Load
    cpu: float

    @property
    def cpu_each(self) -> float:
        """Seconds of a processor for one request: what other load on the machine changes least."""
        return self.cpu / self.load.requests


@dataclass
class Visit:
    """`idle` and `memory` are resident bytes of all its processes, the latter by seconds of load."""

    started: float = 0.0
    idle: int = 0
    loads: dict[tuple[str, int], Loaded] = field(default_factory=dict)
    memory: dict[str, list[tuple[float, int]]] = field(default_factory=dict)

    @property
    def most(self) -> int:
        return max(size for looks in self.memory.values() for _, size in looks)

    def plain(self) -> dict[str, object]:
        """For report.json."""
        loads = [{"work": work, "cpu": loaded.cpu, **asdict(loaded.load)} for (work, _), loaded in self.loads.items()]
        return {"started": self.started, "idle": self.idle, "loads": loads, "memory": self.memory}


def visit(peer: Peer, directory: Path, plan: Plan) -> Visit:
    """A turn with each work, each after the plan."""
    found = Visit()
    with immediate_upstream(directory, "asked") as upstream, peer.run(directory, upstream) as stand:
        found.started = stand.started
        time.sleep(IDLE)
        found.idle = resident(stand.process)
        answered = cut = 0
        for work, wish in WORKS.items():
            body = {**wish, "response_format": work}
            _try(stand, body)
            script = write_script(directory / f"{work}.lua", body, stand.headers)
            with sampled(partial(_memory, stand.process), _LOOKS) as looks:
                warm = load(stand.url, script, WARM_CONNECTIONS, WARM_UP)
                answered, cut = answered + 1 + warm.requests, cut + WARM_CONNECTIONS
                for number, seconds in plan[work].items():
                    rest(stand.process)
                    found.loads[work, number] = done = measure(stand, script, number, seconds)
                    answered, cut = answered + done.load.requests, cut + number
            found.memory[work] = looks
        if peer.name == "imagegate":
            _verify_bought(stand, directory, upstream, answered, cut)
        else:
            assert answered <= _counts(upstream)["answers"] <= answered + cut, "not all that was answered was asked for"
    return found


def _memory(process: Process, seconds: float) -> tuple[float, int]:
    return seconds, resident(process)


def measure(stand: Stand, script: Path, connections: int, seconds: int) -> Loaded:
    before = cpu_seconds(stand.process)
    done = load(stand.url, script, connections, seconds)
    return Loaded(done, cpu_seconds(stand.process) - before)


def _verify_bought(stand: Stand, directory: Path, upstream: Process, answered: int, cut: int) -> None:
    """What was answered (and what wrk left as it ended) is in the ledger, image by image, and a file of its own."""

    def settled() -> bool:
        return int(manage(stand.process, "spend")["total"]["images"]) == _counts(upstream)["jobs"]

    eventually(settled, patience=60, pause=0.5)
    jobs, spent = _counts(upstream)["jobs"], manage(stand.process, "spend")["total"]
    assert answered <= jobs <= answered + cut
    assert spent["microdollars"] == jobs * _PRICE
    assert sum(1 for path in (directory / "data/pictures").iterdir() if path.suffix in {".png", ".webp"}) == jobs


def _try(stand: Stand, body: Mapping[str, object]) -> None:
    """What loads will not look at: that the answer is a picture, or a link to one."""
    headers = {"content-type": "application/json", **stand.headers}
    request = urllib.request.Request(stand.url, json.dumps(body).encode(), headers)
    try:
        with urllib.request.urlopen(request, timeout=60) as answer:
            (image,) = json.load(answer)["data"]
    except urllib.error.HTTPError as refused:
        raise AssertionError(f"{stand.url} refused: {refused.read()!r}") from refused
    if body["response_format"] == "url":
        assert image["url"].startswith("http")
    else:
        picture = b64decode(image["b64_json"], validate=True)
        assert picture.startswith(b"\x89PNG")
        assert len(picture) > 750_000


def _counts(upstream: Process) -> dict[str, int]:
    with urllib.request.urlopen(f"{upstream.url}/counts", timeout=60) as answer:
        asked: dict[str, int] = json.load(answer)
        return asked
