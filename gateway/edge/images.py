"""POST /v1/images/generations, /edits and /variations: one way for all three, as plain answers or as streams."""

from contextlib import suppress

from litestar import post
from litestar.di import NamedDependency
from litestar.types import ASGIApp

from gateway.core.ask import Ask, Edit, Generation, Variation
from gateway.core.errors import GatewayError, RateLimited
from gateway.core.job import Status
from gateway.edge import quotes
from gateway.edge.exchange import Call, of, watching
from gateway.edge.front import Front
from gateway.edge.render import cost
from gateway.edge.schema import counts_retries, dry_run, heartbeat, patience, read_call
from gateway.edge.stream import Stream
from gateway.pipeline.admission import Caller
from gateway.pipeline.generate import Answer, Underway


@post("/v1/images/generations", name="images.generations", status_code=200)
async def generations(request: Call, front: NamedDependency[Front]) -> ASGIApp:
    """Make images from a prompt, and wait for them."""
    return await _make(request, front, Generation)


@post("/v1/images/edits", name="images.edits", status_code=200)
async def edits(request: Call, front: NamedDependency[Front]) -> ASGIApp:
    """Make images from a prompt and images."""
    return await _make(request, front, Edit)


@post("/v1/images/variations", name="images.variations", status_code=200)
async def variations(request: Call, front: NamedDependency[Front]) -> ASGIApp:
    """Make images like one image."""
    return await _make(request, front, Variation)


async def _make(request: Call, front: Front, kind: type[Ask]) -> ASGIApp:
    exchange = of(request)
    head = exchange.head
    marks = exchange.for_images()
    caller = await _admitted(request, front, kind)
    left = patience(head, front.max_wait)
    ask, uploads = await front.intake.read(request, kind, front.catalogue, left)
    call = read_call(ask, uploads, head, front.max_wait, exchange.elapsed(), marks)
    exchange.model = ask.model
    if dry_run(head):
        quote = await front.quoting.quote(caller, ask, call, uploads)
        exchange.model = quote.order.model
        return quotes.render(quote)
    underway = await front.generate.begin(caller, ask, call, uploads)
    exchange.job, exchange.model = underway.job.id, underway.job.order.model
    exchange.left("images", underway.room)
    if ask.stream:
        every = heartbeat(head)
        viewer = front.viewer(request, caller)
        return Stream(front.generate, front.previews, underway, front.renderer, viewer, exchange, front.clock, every)
    del ask, uploads  # up to 12 MB, and the wait may be long
    answer = await _finished(request, front, underway)
    exchange.warning = answer.warning
    job, viewer = answer.job, front.viewer(request, caller)
    exchange.about(job, answer.cache, cost(job, answer.cache))
    if call.respond_async or job.status is not Status.COMPLETED:
        return front.renderer.accepted(
            job, viewer, cache=answer.cache, remaining=answer.remaining, ahead=underway.ahead
        )
    ms = exchange.elapsed_ms()
    return front.renderer.images(
        job, viewer, cache=answer.cache, remaining=answer.remaining, ms=ms, ahead=underway.ahead
    )


async def _admitted(request: Call, front: Front, kind: type[Ask]) -> Caller:
    """Before a byte of the body is read."""
    caller = await front.identify(request)
    try:
        await front.count(request, caller)
    except RateLimited as error:
        await _note(request, front, caller, kind, error)
        raise
    return caller


async def _note(request: Call, front: Front, caller: Caller, kind: type[Ask], refused: RateLimited) -> None:
    """Its SDK will try again: so that the retry is not given an older equal call's picture, what it asks for is looked at
    nevertheless, as far as that is cheap."""
    head = of(request).head
    if not counts_retries(head):
        return
    with suppress(GatewayError):
        ask = await front.intake.glance(request, kind)
        if ask is not None:
            call = read_call(ask, (), head, front.max_wait, 0.0)
            await front.generate.refused(caller, call, refused)


async def _finished(request: Call, front: Front, underway: Underway) -> Answer:
    if underway.job.ended:
        return await front.generate.finish(underway)
    async with watching(request.receive) as gone:
        return await front.generate.finish(underway, gone)
