"""`python bare_app.py PORT`: the least that Litestar and uvicorn can be, as a floor for the gateway's start and memory."""

import sys

import uvicorn
from litestar import Litestar, get


@get("/healthz", sync_to_thread=False)
def healthz() -> str:
    return "ok"


if __name__ == "__main__":
    uvicorn.run(Litestar([healthz], openapi_config=None), port=int(sys.argv[1]), log_level="warning", loop="uvloop")
