"""`python bare_app.py PORT`: the least that Litestar and uvicorn can be, as a floor for start, memory and hits."""

import sys
from typing import Any

import uvicorn
from litestar import Litestar, Request, get, post


@get("/healthz", sync_to_thread=False)
def healthz() -> str:
    return "ok"


@post("/v1/images/generations", status_code=200)
async def generations(request: Request[Any, Any, Any]) -> dict[str, object]:
    """As much of a request as any answer needs, and as much of an answer as a URL takes."""
    asked = await request.json()
    return {
        "created": 1,
        "data": [{"url": "http://127.0.0.1/files/" + "a" * 200}],
        "size": asked["prompt"],
        "n": "b" * 250,
    }


if __name__ == "__main__":
    app = Litestar([healthz, generations], openapi_config=None)
    uvicorn.run(app, port=int(sys.argv[1]), log_level="warning", loop="uvloop", access_log=False)
