"""The short way to the handlers that most requests are for: past the framework, which would first make a model of their
arguments, a task group for what is injected and an exit stack, at more than it costs to answer from the cache.

What is not just such a request (another method, another spelling of the path) goes the framework's way, to the same handlers.
"""

from collections.abc import Callable, Iterable
from typing import Any

from litestar import Request
from litestar.handlers import HTTPRouteHandler

from gateway.edge import problems
from gateway.edge.envelope import App, Message, Receive, Send
from gateway.edge.exchange import of
from gateway.edge.front import Front


class Straight:
    """In front of the framework. `handlers` are of POST, take `request` and `front`, and return an ASGI application."""

    def __init__(self, app: App, handlers: Iterable[HTTPRouteHandler], front: Callable[[], Front]) -> None:
        self._app = app
        self._handlers = {path: handler for handler in handlers for path in handler.paths}
        self._front = front

    async def __call__(self, scope: Message, receive: Receive, send: Send) -> None:
        handler = self._handlers.get(scope["path"]) if scope["type"] == "http" and scope["method"] == "POST" else None
        if handler is None or scope["state"]["admin_socket"]:
            await self._app(scope, receive, send)
            return
        scope["route_handler"] = handler
        request: Request[Any, Any, Any] = Request(scope, receive)  # type: ignore[arg-type]  # of ASGI's shapes, in litestar's types
        try:
            answer = await handler.fn(request, self._front())
            await answer(scope, receive, send)
        except Exception as error:  # whatever a handler raises has an answer, and its cause goes to the log
            if of(request).begun:
                raise
            await problems.tell(request, error, send)
