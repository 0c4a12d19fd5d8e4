"""The short way to the handlers that most requests are for: called with what they take, without the framework's model of it.

What the framework does for any handler (a task group for what is injected, a model of its arguments, an exit stack) costs more
than all else that happens between the socket and the recipe. Routing, methods and errors stay the framework's.
"""

from collections.abc import Callable

from litestar import Request
from litestar.enums import ScopeType
from litestar.types import ASGIApp, Receive, Scope, Send

from gateway.edge.front import Front


class Straight:
    """Middleware of handlers that take `request` and `front`, and return an ASGI application."""

    def __init__(self, app: ASGIApp, front: Callable[[], Front]) -> None:
        self._app = app
        self._front = front

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        if scope["type"] != ScopeType.HTTP or scope["method"] == "OPTIONS":
            await self._app(
                scope, receive, send
            )  # which methods there are is answered by a handler of the framework's own
            return
        handler = scope["route_handler"].fn
        answer = await handler(Request(scope, receive), self._front())
        await answer(scope, receive, send)
