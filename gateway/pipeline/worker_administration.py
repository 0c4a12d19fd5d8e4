"""What an administrator may do with workers: see those that live, and make and revoke the tokens by which they come in."""

import secrets
from collections.abc import Callable, Sequence

from gateway.core import keys as key_form
from gateway.core.errors import InvalidRequest, NotFound
from gateway.core.job import Claim
from gateway.core.worker_messages import Presence
from gateway.pipeline.repeating import repeated
from gateway.ports import Clock, Queue, WorkerToken, WorkerTokens

_NAME_LENGTH = 64


class WorkerAdministration:
    def __init__(self, queue: Queue, tokens: WorkerTokens, clock: Clock, pepper: bytes) -> None:
        """`pepper` hashes new tokens."""
        self._queue = queue
        self._tokens = tokens
        self._clock = clock
        self._pepper = pepper

    async def live(self) -> Sequence[Presence]:
        """By their ids."""
        return await self._queue.workers()

    async def claim(self, piece_id: str) -> Claim | None:
        """Who has the piece in hand, and since when."""
        became = await self._queue.became(piece_id)
        return became.claim if became is not None and became.standing == "claimed" else None

    async def tokens(self) -> Sequence[WorkerToken]:
        """Oldest first, those that are revoked among them."""
        return await self._tokens.worker_tokens()

    async def create_token(self, name: str, choose: Callable[[str], str] = secrets.choice) -> tuple[WorkerToken, str]:
        """A new token and its whole text, which is kept nowhere and so can be shown only now."""
        if len(name) > _NAME_LENGTH or not (name == "" or name.isprintable()):
            raise InvalidRequest(f"a token's name has at most {_NAME_LENGTH} printable characters", param="name")
        token_id, secret = key_form.mint(choose, key_form.WORKER_PREFIX)
        token = WorkerToken(token_id, name, key_form.digest(self._pepper, secret), self._clock.now())
        await repeated(self._clock, lambda: self._tokens.add_worker_token(token))
        return token, secret

    async def revoke_token(self, token_id: str) -> WorkerToken:
        """From now on it is refused, for good; revoking twice keeps the first time."""
        await self._tokens.revoke_worker_token(token_id, self._clock.now())
        token = await self._tokens.worker_token(token_id)
        if token is None:
            raise NotFound(f"there is no worker token {token_id[:64]!r}", code="worker_token_not_found", param="id")
        return token
