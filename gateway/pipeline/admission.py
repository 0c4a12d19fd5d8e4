"""Who asks: from a bearer token to a caller, or 401. Fails closed: a store that cannot answer admits nobody."""

import hmac
from dataclasses import dataclass

from gateway.core import keys as key_form
from gateway.core.errors import InvalidApiKey, NotAllowed
from gateway.core.rate import Limit
from gateway.ports import Key, Keys

_ABSENT = b"\0" * 32


@dataclass(frozen=True, slots=True)
class Caller:
    key_id: str
    team: str
    #: the only models that the key may ask for; none named: all
    models: tuple[str, ...] = ()
    #: its own and its team's
    limits: tuple[Limit, ...] = ()

    def may_use(self, model: str) -> bool:
        return not self.models or model in self.models

    def check_model(self, model: str) -> None:
        """Raises NotAllowed."""
        if not self.may_use(model):
            raise NotAllowed(f"This API key may not use the model '{model}'.", param="model")


class Admission:
    def __init__(self, keys: Keys, peppers: tuple[bytes, ...]) -> None:
        """`peppers`: one for each secret of the ring, the first hashes new keys."""
        self._keys = keys
        self._peppers = peppers

    async def identify(self, token: str | None) -> Caller:
        """Raises InvalidApiKey; missing, malformed, unknown, wrong and revoked keys look alike to the client."""
        key_id = key_form.key_id(token) if token else None
        if token is None or key_id is None:
            raise _refused("malformed" if token else "missing", None)
        key = await self._keys.find_key(key_id)
        # an unknown id is compared as well, so that it takes as long as a wrong secret
        matched = self._matches(key.digest if key else _ABSENT, token)
        if key is None or matched is None:
            raise _refused("unknown", key_id)
        if key.revoked_at is not None:
            raise _refused("revoked", key_id)
        if matched != self._peppers[0]:
            await self._keys.replace_digest(key_id, key_form.digest(self._peppers[0], token))
        return Caller(key.id, key.team, key.models)

    async def live(self, key_id: str) -> Key | None:
        """The key, if it may still be used: picture URLs die with it."""
        key = await self._keys.find_key(key_id)
        return key if key is not None and key.revoked_at is None else None

    def _matches(self, stored: bytes, token: str) -> bytes | None:
        found = None
        for pepper in self._peppers:
            if hmac.compare_digest(stored, key_form.digest(pepper, token)):
                found = pepper
        return found


def _refused(reason: str, key_id: str | None) -> InvalidApiKey:
    message = "Incorrect API key provided."
    if reason == "missing":
        message = "You didn't provide an API key: send it as 'Authorization: Bearer YOUR_KEY'."
    return InvalidApiKey(message, reason=reason, key_id=key_id)
