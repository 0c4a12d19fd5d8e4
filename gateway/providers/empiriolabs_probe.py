"""A question to EmpirioLabs that buys nothing: is it there, does it take our key, what time is it there?"""

from email.utils import parsedate_to_datetime

import httpx

from gateway.core.health import Heard, skew_of
from gateway.ports import Clock
from gateway.providers.transport import FAULTS, broken, trusted_tls

_SECONDS = 10.0


async def probe(url: str, key: str, clock: Clock) -> Heard:
    """One GET of the catalogue, which is one of the account's requests of this minute. Raises nothing."""
    headers = {"user-agent": "imagegate", "accept-encoding": "identity", "authorization": f"Bearer {key}"}
    asked = clock.now()
    try:
        async with (
            clock.timeout(_SECONDS),
            httpx.AsyncClient(verify=trusted_tls(), trust_env=False, timeout=_SECONDS) as client,
            client.stream("GET", f"{url}/v1/models", headers=headers) as answer,
        ):
            date = _moment(answer.headers.get("date", ""))
            skew = None if date is None else skew_of(asked, clock.now(), date)
            return Heard(answer.status_code, skew=skew)
    except FAULTS as error:
        return Heard(None, broken(error).reason)


def _moment(date: str) -> int | None:
    try:
        return int(parsedate_to_datetime(date).timestamp()) * 1000
    except (ValueError, TypeError, IndexError, OverflowError):  # the parser's own failures on odd text
        return None
