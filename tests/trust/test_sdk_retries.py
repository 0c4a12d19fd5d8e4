"""An SDK that loses an answer asks again with nothing but a count to tell: whatever a line loses, a call is bought once."""

import asyncio
import os
from collections import Counter
from collections.abc import Callable, Iterator, Sequence
from contextlib import ExitStack
from dataclasses import dataclass
from pathlib import Path
from random import Random

import pytest
from books import Books, settle_down, tell
from clusters import cluster_of_two
from lossy_proxy import OFTEN, Fate, LossyProxy, Passage, Request
from processes import ADMIN_KEY, Process, administer, gateway, new_key, simulator
from sdk_calls import SIZE, Heard, Wish, by_node, by_python
from sdks import NodeSdk
from test_disconnects import assert_whole

from gateway.core.encode import encode
from gateway.core.sample_picture import draw

pytest_plugins = ["drivers"]

LONG = os.environ.get("TRUST", "short") == "long"
CALLS, BY_NODE = (2000, 600) if LONG else (150, 45)
#: Of Python, and of Node.
AT_ONCE = 44, 18
#: Jobs of 0.3 to 0.8 s: a retry comes while the attempt before it is under way, or after that has ended.
UPSTREAM = ("--median", "0.5", "--sigma", "0.3", "--seed", "9")
#: The gateway waits until two seconds before them: it answers 504 at once, or amid the job, or is there to its end.
TIMEOUTS = 1.2, 2.6, 3.2
SEED = 9
#: How a picture was come by.
HOW = "miss", "joined", "replayed"
#: Statuses of answers that return a picture, or tell of a job that goes on.
PROMISES = 200, 504


@dataclass(frozen=True)
class Behind:
    """What stands behind the proxy: one gateway, or two that share a store."""

    upstream: Process
    gateways: Sequence[Process]
    key: str

    def proxy(self, decide: Callable[[Request], Fate] | None = None) -> LossyProxy:
        return LossyProxy([each.port for each in self.gateways], SEED, decide)

    async def books(self) -> Books:
        await asyncio.to_thread(settle_down, self.gateways[0], self.upstream)
        return Books.of(self.gateways[0], self.upstream)

    @property
    def drift(self) -> int:
        return sum(administer(each, "drift")["microdollars"] for each in self.gateways)


@pytest.fixture(params=["sqlite", "redis"])
def behind(request: pytest.FixtureRequest, tmp_path: Path) -> Iterator[Behind]:
    with ExitStack() as stack:
        if request.param == "redis":
            cluster = stack.enter_context(cluster_of_two(tmp_path, *UPSTREAM))
            upstream, gateways = cluster.upstream, [cluster.one, cluster.two]
        else:
            upstream = stack.enter_context(simulator(tmp_path, *UPSTREAM))
            gateways = [stack.enter_context(gateway(tmp_path, upstream.url, IMAGEGATE_ADMIN_KEY=ADMIN_KEY))]
        yield Behind(upstream, gateways, new_key(gateways[0], "1000/month"))


@pytest.fixture
def node_or_none(request: pytest.FixtureRequest) -> NodeSdk | None:
    """Where there is no Node, Python makes all calls."""
    try:
        found: NodeSdk = request.getfixturevalue("node")
    except pytest.skip.Exception:
        return None
    return found


@pytest.mark.timeout(600)
async def test_a_call_is_bought_once(
    behind: Behind, node_or_none: NodeSdk | None, record_property: Callable[[str, object], None]
) -> None:
    random = Random(SEED)
    wishes = [Wish(f"call {number}", random.choice(TIMEOUTS)) for number in range(CALLS)]
    by_others = wishes[:BY_NODE] if node_or_none else []
    proxy = behind.proxy()
    async with proxy.listening() as url, asyncio.TaskGroup() as group:
        callers = [group.create_task(by_python(url, behind.key, wishes[len(by_others) :], AT_ONCE[0]))]
        if node_or_none:
            callers.append(group.create_task(by_node(node_or_none, url, behind.key, by_others, AT_ONCE[1])))
    books = await behind.books()
    tally = Tally([heard for caller in callers for heard in caller.result()], proxy.passages, books)
    tell(
        record_property, f"{CALLS} calls of stock SDKs, {len(by_others)} of them by Node", tally.figures(proxy.refused)
    )
    assert tally.bought_twice == []
    assert tally.bought_never == []
    assert {each.answered for each in proxy.passages} <= {*PROMISES, None}
    assert tally.strange_pictures == []
    assert_whole(books)
    assert behind.drift == 0
    assert not tally.unmet()


@dataclass(frozen=True)
class Tally:
    heard: Sequence[Heard]
    passages: Sequence[Passage]
    books: Books

    @property
    def bought(self) -> Counter[str]:
        return Counter(each["prompt"] for each in self.books.bought)

    @property
    def bought_twice(self) -> list[str]:
        return [prompt for prompt, often in self.bought.items() if often > 1]

    @property
    def bought_never(self) -> list[str]:
        """Although a picture was returned, or promised (504). Clients that leave before either may take their order along."""
        promised = {each.request.prompt for each in self.passages if each.answered in PROMISES}
        return sorted(promised - self.bought.keys())

    @property
    def dropped(self) -> list[str]:
        whole = {each.request.prompt for each in self.passages if each.whole}
        return sorted(whole - self.bought.keys())

    @property
    def strange_pictures(self) -> list[str]:
        """Answers that are not, to the byte, what the upstream drew for the call's own prompt."""
        seeds = {each["prompt"]: each["seed"] for each in self.books.bought}
        pictures = {each.prompt: each.picture for each in self.heard if each.picture is not None}
        return [prompt for prompt, picture in pictures.items() if picture != drawn(prompt, seeds.get(prompt, -1))]

    def figures(self, refused: int) -> dict[str, object]:
        said = Counter(each.said for each in self.heard)
        fates = Counter(each.fate for each in self.passages)
        answered = Counter(each.answered for each in self.passages if each.answered is not None)
        return {
            "pictures answered": sum(each.picture is not None for each in self.heard),
            **{f"  {how}": said[how] for how in HOW},
            **{f"  {kind} raised": often for kind, often in said.items() if kind not in HOW},
            "connections refused": refused,
            "requests that the proxy read": len(self.passages),
            **{f"  {fate}": fates[fate] for fate in OFTEN},
            "of which sent again below the SDK": len(self.passages) - len({each.request for each in self.passages}),
            "of which retries": sum(each.request.retry_count > 0 for each in self.passages),
            "of which whole at a gateway": sum(each.whole for each in self.passages),
            **{f"  answered {status}": often for status, often in answered.items()},
            "submits": len(self.books.bought),
            "calls bought twice": len(self.bought_twice),
            "calls never bought, though answered": len(self.bought_never),
            "calls dropped before the submit": len(self.dropped),
            "pictures not of their call": len(self.strange_pictures),
            "wrong or double charges": self.books.wrong_charges(),
            "ledger drift": self.books.drift,
        }

    def unmet(self) -> set[str]:
        """What never happened, so that nothing is known about it."""
        return {*HOW, *OFTEN} - {each.said for each in self.heard} - {each.fate for each in self.passages}


def drawn(prompt: str, seed: int) -> bytes:
    width, height = map(int, SIZE.split("x"))
    return encode(draw(prompt, seed, width, height), "webp")


@pytest.mark.parametrize("fate", [Fate.LOSE, Fate.CUT_BODY], ids=["under way", "ended"])
async def test_equal_calls_are_two_whatever_is_lost(behind: Behind, fate: Fate) -> None:
    """Both on purpose, at once, without a seed: each is bought, and each retry is given one of the two."""

    def lose_first(request: Request) -> Fate:
        return Fate.PASS if request.retry_count else fate

    proxy = behind.proxy(lose_first)
    async with proxy.listening() as url:
        heard = await by_python(url, behind.key, [Wish("twice the same", 5.0)] * 2, at_once=2)
    books = await behind.books()
    assert [each["prompt"] for each in books.bought] == ["twice the same"] * 2
    assert [(each.fate, each.request.retry_count) for each in proxy.passages].count((fate, 0)) == 2
    assert {each.said for each in heard} <= {"joined", "replayed"}
    assert {each.picture for each in heard} == {drawn(each["prompt"], each["seed"]) for each in books.bought}
    assert_whole(books)


@pytest.mark.xfail(strict=True, reason="a first attempt never adopts, and its retry had nothing to adopt yet")
async def test_a_call_that_its_own_retry_overtakes_is_bought_once(behind: Behind) -> None:
    """The network keeps the first attempt until the SDK has given it up, and its retry has been answered."""

    def overtake_first(request: Request) -> Fate:
        return Fate.PASS if request.retry_count else Fate.OVERTAKE

    proxy = behind.proxy(overtake_first)
    async with proxy.listening() as url:
        await by_python(url, behind.key, [Wish("overtaken", 1.2)], at_once=1)
    books = await behind.books()
    assert [each["prompt"] for each in books.bought] == ["overtaken"]
