"""Which worker asks: by a token of its own that an administrator made, or by the one that the gateway was started with."""

import hmac

from gateway.core import keys as key_form
from gateway.core.errors import InvalidApiKey
from gateway.ports import WorkerTokens

#: How the log names the token of the settings.
BY_SETTING = "setting"
_ABSENT = b"\0" * 32
_MISSING = "You didn't provide a worker token: send it as 'Authorization: Bearer ig-worker-…'."


class WorkerAdmission:
    """Fails closed, as that of keys does: a store that cannot answer admits nobody."""

    def __init__(self, tokens: WorkerTokens, peppers: tuple[bytes, ...], own: str | None) -> None:
        """`peppers`: one for each secret of the ring; `own`: the token of the settings."""
        self._tokens = tokens
        self._peppers = peppers
        self._own = None if own is None else own.encode()

    async def identify(self, token: str | None) -> str:
        """The id of the token. Raises InvalidApiKey, in the same words whatever is wrong with it."""
        if not token:
            raise InvalidApiKey(_MISSING, reason="missing")
        if self._own is not None and hmac.compare_digest(token.encode(), self._own):
            return BY_SETTING
        token_id = key_form.key_id(token, key_form.WORKER_PREFIX)
        if token_id is None:
            raise _refused("malformed", None)
        found = await self._tokens.worker_token(token_id)
        # an unknown id is compared as well, and with all: it takes as long as a wrong secret
        stored = _ABSENT if found is None else found.digest
        equal = [hmac.compare_digest(stored, key_form.digest(pepper, token)) for pepper in self._peppers]
        if found is None or not any(equal):
            raise _refused("unknown", token_id)
        if found.revoked_at is not None:
            raise _refused("revoked", token_id)
        return token_id


def _refused(reason: str, token_id: str | None) -> InvalidApiKey:
    return InvalidApiKey("Incorrect worker token provided.", reason=reason, key_id=token_id)
