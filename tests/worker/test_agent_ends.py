"""How an agent ends: told to, in good order; or because its gateway will have nothing of it."""

import pytest
from agent_stand import Stand, working
from scripted_gateway import refusal, scripted_gateway, work
from scripted_upstream import http

from gateway.ports import Clock
from gateway.worker.engine import Engine
from gateway.worker.origin_calls import is_exposed, plain_base


async def test_told_to_drain_it_gives_back_what_it_has_not_begun_and_finishes_the_rest() -> None:
    stand = Stand(shut=True)
    async with scripted_gateway() as gateway, working(gateway, stand) as here:
        gateway.give(work("a", 1, 2), work("b", operation="edit"))
        await gateway.until(lambda: gateway.claimed and stand.engine.batches)
        here.agent.drain()
        await gateway.until(lambda: any(drain.given_back for drain in gateway.drains))
        claims = len(gateway.claims)
        stand.engine.gate.set()
        assert await here.ended == 0
        assert len(gateway.claims) == claims
    assert [[held.attempt for held in drain.given_back] for drain in gateway.drains] == [[], ["b"], []]
    assert [drain.left for drain in gateway.drains] == [True, False, True], "it stays until it has finished"
    assert [presence.draining for presence in gateway.presences][-1]
    assert [*gateway.finishes] == ["a"]
    assert gateway.order[-1] == "drain"


async def test_what_was_granted_while_it_hung_up_is_given_back() -> None:
    async with scripted_gateway(poll_s=20) as gateway, working(gateway) as here:
        await gateway.until(lambda: gateway.claims)
        asked = gateway.claims[0].claim
        gateway.claimed[asked] = [work("a")]  # and its answer never reaches the agent
        assert await here.drained() == 0
    assert [(held.attempt, held.claim) for drain in gateway.drains for held in drain.given_back] == [("a", asked)]
    assert gateway.finishes == {}


@pytest.mark.parametrize("status", [401, 403])
async def test_a_token_that_is_not_taken_ends_it_before_any_model_is_loaded(status: int) -> None:
    async with scripted_gateway() as gateway:
        gateway.answers["drain"] = refusal(status, "Incorrect worker token.", "invalid_api_key")
        async with working(gateway, never) as here:
            assert await here.ended == 3
    assert here.told == [("token_refused", {"reason": "Incorrect worker token."})]


async def test_a_token_that_is_revoked_ends_it_later_as_well() -> None:
    async with scripted_gateway() as gateway, working(gateway) as here:
        await gateway.until(lambda: gateway.claims)
        gateway.answers["presence"] = refusal(401, "Incorrect worker token.", "invalid_api_key")
        assert await here.ended == 3


@pytest.mark.parametrize(
    ("path", "answer", "words"),
    [
        ("drain", refusal(400, "only protocol 2 is spoken here", "invalid_value"), "only protocol 2"),
        ("claim", refusal(400, "only protocol 2 is spoken here", "invalid_value"), "only protocol 2"),
        ("claim", http(200, b'{"version": 2}'), "same version of imagegate"),
        ("drain", refusal(404, "Unknown URL.", "unknown_url"), "Unknown URL"),
        ("drain", http(307, b"", "Location: https://elsewhere.example/"), "redirect"),
    ],
)
async def test_a_gateway_of_other_words_ends_it(path: str, answer: bytes, words: str) -> None:
    async with scripted_gateway() as gateway:
        gateway.answers[path] = answer
        async with working(gateway) as here:
            assert await here.ended == 4
    event, fields = here.told[-1]
    assert event == "not_understood"
    assert words in fields["reason"]


async def test_a_gateway_that_is_not_there_yet_is_waited_for() -> None:
    async with scripted_gateway() as gateway:
        await gateway.stop()
        async with working(gateway) as here:
            await gateway.until(lambda: "gateway_silent" in here.events)
            gateway.answers["presence"] = http(404, b"a proxy that does not know it yet")
            await gateway.start()
            await gateway.until(lambda: gateway.order.count("presence") > 1)
            assert here.agent.glance().state == "joining"
            del gateway.answers["presence"]
            gateway.give(work("a"))
            await gateway.until(lambda: gateway.finishes and gateway.presences)
            assert here.events[:3] == ["gateway_silent", "gateway_back", "ready"]


async def test_one_that_never_reached_its_gateway_ends_when_it_is_told_to() -> None:
    async with scripted_gateway(down=True) as gateway, working(gateway) as here:
        await gateway.until(lambda: gateway.hung_up > 1 and here.agent.glance().state == "joining")
        assert await here.drained() == 0
    assert here.events == ["gateway_silent", "draining", "ended"]


async def test_a_model_that_is_not_there_is_said_by_who_opens_it() -> None:
    async with scripted_gateway() as gateway, working(gateway, absent) as here:
        with pytest.raises(OSError, match="no such model"):
            await here.ended


def never(_clock: Clock) -> Engine:
    raise AssertionError("the engine is opened")


def absent(_clock: Clock) -> Engine:
    raise OSError("no such model")


@pytest.mark.parametrize(
    ("url", "base"),
    [
        ("https://gate.example/", "https://gate.example"),
        ("http://127.0.0.1:8080/v1", "http://127.0.0.1:8080"),
        ("https://gate.example/images/worker/v1", "https://gate.example/images"),
    ],
)
def test_any_way_to_write_the_gateway_is_understood(url: str, base: str) -> None:
    assert plain_base(url) == base


@pytest.mark.parametrize(
    "url", ["gate.example", "ftp://gate.example", "https://u:p@gate.example", "http://x:y", "http://"]
)
def test_what_is_no_gateway_is_refused(url: str) -> None:
    with pytest.raises(ValueError, match=r"\w"):
        plain_base(url)


@pytest.mark.parametrize(
    ("base", "exposed"),
    [
        ("http://gate.example", True),
        ("http://10.0.0.7:8080", True),
        ("https://gate.example", False),
        ("http://localhost:8080", False),
        ("http://127.0.0.2", False),
        ("http://[::1]:8080", False),
    ],
)
def test_a_token_in_the_clear_is_known(base: str, exposed: bool) -> None:
    assert is_exposed(base) is exposed
