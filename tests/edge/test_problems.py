"""Errors that nobody expected: what a client is told of them, and what the operator."""

import httpx
from litestar import Router, get
from loopback import Told

from gateway.edge.app import create_admin_app

PROMPT = "a canary that sings in a coal mine"


@get("/broken")
async def broken() -> None:
    int(PROMPT)


async def test_an_error_of_ours_is_told_by_its_place_and_without_the_value_it_quotes() -> None:
    told = Told()
    app = create_admin_app(Router("/admin/v1", route_handlers=[broken]), told)
    async with httpx.AsyncClient(transport=httpx.ASGITransport(app), base_url="http://gateway") as client:
        answer = await client.get("/admin/v1/broken")
    (request,) = told.requests
    error = answer.json()["error"]
    assert (answer.status_code, error["code"]) == (500, "internal_error")
    assert error["message"] == f"The gateway failed on request {request.request_id}."
    assert (request.status, request.code, request.level) == (500, "internal_error", "error")
    assert (request.reason or "").startswith("ValueError at tests/edge/test_problems.py:")
    assert "canary" not in (request.reason or "") + answer.text
