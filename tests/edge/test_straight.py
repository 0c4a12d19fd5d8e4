"""The short way past the framework: what takes it, and that errors on it end as they do on the framework's."""

from typing import Any

import httpx
import pytest
from litestar import Litestar, Request, post
from litestar.di import NamedDependency, Provide
from litestar.types import ASGIApp
from loopback import Told

from gateway.core.errors import InvalidRequest
from gateway.edge import problems
from gateway.edge.exchange import Observed
from gateway.edge.guard import Guard, GuardLimits
from gateway.edge.reply import Body, Reply
from gateway.edge.straight import Straight

PATH = "/v1/made"


async def _broken(scope: Any, receive: Any, send: Any) -> None:
    await send({"type": "http.response.start", "status": 200, "headers": []})
    raise RuntimeError("in the middle")


@post(PATH, name="made", status_code=200)
async def made(request: Request[Any, Any, Any], front: NamedDependency[str]) -> ASGIApp:
    match request.headers.get("x-end"):
        case "refused":
            raise InvalidRequest("Not so.", param="n", job_id="job_1")
        case "raised":
            raise ValueError("a secret")
        case "cut":
            return _broken
    return Reply(200, (("x-way", front),), Body((b"made",)))


@pytest.fixture
def told() -> Told:
    return Told()


@pytest.fixture
def client(told: Told) -> httpx.AsyncClient:
    framework = Litestar(
        [made],
        dependencies={"front": Provide(lambda: "the framework's", sync_to_thread=False)},
        exception_handlers=problems.handlers(),
        openapi_config=None,
        logging_config=None,
    )
    short: Any = lambda: "the short one"  # noqa: E731 - in a front's place
    app = Observed(Guard(Straight(framework, [made], short), GuardLimits()), told)
    return httpx.AsyncClient(transport=httpx.ASGITransport(app), base_url="http://gateway:8080")


async def test_its_own_path_goes_the_short_way(client: httpx.AsyncClient, told: Told) -> None:
    answer = await client.post(PATH)
    assert (answer.text, answer.headers["x-way"]) == ("made", "the short one")
    assert answer.headers["x-request-id"] == told.requests[0].request_id
    assert (told.requests[0].route, told.requests[0].status) == ("made", 200)


async def test_another_spelling_goes_the_framework_s_to_the_same_handler(client: httpx.AsyncClient, told: Told) -> None:
    answer = await client.post(PATH + "/")
    assert (answer.text, answer.headers["x-way"]) == ("made", "the framework's")
    assert told.requests[0].route == "made"


@pytest.mark.parametrize("method", ["GET", "HEAD", "PUT", "DELETE"])
async def test_another_method_is_not_allowed(client: httpx.AsyncClient, method: str) -> None:
    answer = await client.request(method, PATH)
    assert answer.status_code == 405
    assert "POST" in answer.headers["allow"]


@pytest.mark.parametrize("end", ["refused", "raised"])
async def test_both_ways_tell_of_an_error_alike(client: httpx.AsyncClient, told: Told, end: str) -> None:
    short, long = [await client.post(path, headers={"x-end": end}) for path in (PATH, PATH + "/")]
    own = {"x-request-id", "content-length"}
    assert short.status_code == long.status_code
    assert {*short.headers.items()} - {*long.headers.items()} == {("x-request-id", short.headers["x-request-id"])}
    assert {*long.headers} - own == {*short.headers} - own
    ids = [each.request_id for each in told.requests]
    assert short.text.replace(ids[0], "") == long.text.replace(ids[1], "")
    assert [each.code for each in told.requests] == [short.json()["error"]["code"]] * 2
    where = [(each.reason or "").partition(" < ")[0] for each in told.requests]  # the innermost frame
    assert where[0] == where[1]
    assert "secret" not in short.text


async def test_an_error_amid_an_answer_is_the_server_s_to_end(client: httpx.AsyncClient, told: Told) -> None:
    with pytest.raises(RuntimeError):
        await client.post(PATH, headers={"x-end": "cut"})
    assert told.requests[0].code == "internal_error"
