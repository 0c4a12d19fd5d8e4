"""POST /v1/images/generations."""

from dataclasses import replace

from litestar import post
from litestar.di import NamedDependency
from litestar.types import ASGIApp

from gateway.core.job import Status
from gateway.edge.exchange import Call, of, watching, whole_body
from gateway.edge.front import Front
from gateway.edge.schema import read_ask, read_call
from gateway.pipeline.generate import Generate


@post("/v1/images/generations", name="images.generations", status_code=200)
async def generations(request: Call, front: NamedDependency[Front], generate: NamedDependency[Generate]) -> ASGIApp:
    """Make images from a prompt, and wait for them."""
    exchange = of(request)
    caller = await front.identify(request)  # before a byte of the body is read
    ask = read_ask(await whole_body(request), request.headers.get("content-type", ""))
    call = read_call(ask, request.scope["path"], request.headers, front.max_wait)
    exchange.model = ask.model
    async with watching(request) as gone:
        answer = await generate.run(caller, ask, replace(call, gone=gone))
    job = answer.job
    exchange.about(job, answer.cache, answer.waited)
    if job.status is not Status.COMPLETED:
        return front.renderer.accepted(job, cache=answer.cache, remaining=answer.remaining)
    return front.renderer.images(
        job, front.viewer(request, caller), cache=answer.cache, remaining=answer.remaining, ms=exchange.elapsed_ms()
    )
