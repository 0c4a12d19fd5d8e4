"""A client of a gateway or several, over real HTTP, and the tally of what it was answered."""

import asyncio
import io
import json
import time
from base64 import b64decode
from collections import Counter
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from decimal import Decimal
from random import Random
from typing import Any, Self

import aiohttp
from PIL import Image
from processes import Process, administer

#: Its sides are multiples of 16, as workers want them; the other's are not, so that only the cloud makes it.
LOCAL, CLOUD = "256x256", "264x264"
GENERATIONS, EDITS = "/v1/images/generations", "/v1/images/edits"
#: What stands for an answer where there was none: the client left, or the connection carried no whole answer.
LEFT, CUT = "left", "cut"
PATIENCE = 60.0
_FAVOURITES = 4


@dataclass(frozen=True, slots=True)
class Keys:
    """Those of two teams may do all; `broke` can pay one image, `limited` ask twice a minute."""

    good: Sequence[str]
    broke: str
    limited: str

    @classmethod
    def made_by(cls, gateway: Process) -> Self:
        """Of one with an admin key."""

        def key(team: str, budget: str, **terms: object) -> str:
            secret: str = administer(gateway, "keys", {"team": team, "budgets": [budget], **terms})["secret"]
            return secret

        return cls(
            good=[key("alpha", "100/month"), key("beta", "50/month")],
            broke=key("gamma", "0.0085/day"),
            limited=key("delta", "1/day", requests_per_minute=2),
        )


@dataclass
class Answers:
    """Of one kind. `said`: by a status, with the error's code if there is one, LEFT or CUT, how often."""

    asked: int = 0
    said: Counter[str] = field(default_factory=Counter)
    seconds: float = 0.0
    longest: float = 0.0

    @property
    def mean(self) -> float:
        return self.seconds / max(1, self.said.total())


@dataclass
class Tally:
    kinds: dict[str, Answers] = field(default_factory=dict)
    #: that clients were given, and what their answers said that they cost
    images: int = 0
    dollars: Decimal = Decimal(0)
    #: pictures that do not decode
    broken: int = 0
    #: seconds since the load began
    elapsed: float = 0.0

    @property
    def asked(self) -> int:
        return sum(each.asked for each in self.kinds.values())

    @property
    def answered(self) -> int:
        return sum(each.said.total() for each in self.kinds.values())

    def as_data(self) -> dict[str, Any]:
        return {
            "seconds": round(self.elapsed, 1),
            "asked": self.asked,
            "answered": self.answered,
            "images": self.images,
            "dollars": str(self.dollars),
            "broken": self.broken,
            "kinds": {
                kind: {
                    "asked": each.asked,
                    "said": dict(sorted(each.said.items())),
                    "mean": round(each.mean, 3),
                    "longest": round(each.longest, 3),
                }
                for kind, each in sorted(self.kinds.items())
            },
        }


class Client:
    """Who asks the gateways in turn, and keeps the tally."""

    def __init__(
        self,
        session: aiohttp.ClientSession,
        urls: Iterator[str],
        keys: Keys,
        name: str,
        on_answer: Callable[[Tally], object],
    ) -> None:
        self.session = session
        self.keys = keys
        self.tally = Tally()
        self._urls = urls
        self._name = name
        self._on_answer = on_answer
        self._wishes = 0
        self._began = time.monotonic()

    def wish(self, dice: Random, **fields: object) -> dict[str, Any]:
        """That nobody had before, for workers or the cloud, to be answered with a URL or with the bytes."""
        self._wishes += 1
        return {
            "prompt": f"{self._name}, wish {self._wishes}",
            "size": dice.choice((LOCAL, CLOUD)),
            "response_format": dice.choice(("url", "b64_json")),
            **fields,
        }

    def favourite(self, dice: Random) -> dict[str, Any]:
        """One of a few that everybody asks for again and again."""
        number = dice.randrange(_FAVOURITES)
        return self.wish(dice, prompt=f"{self._name}, favourite {number}", seed=number, size=(LOCAL, CLOUD)[number % 2])

    async def ask(  # noqa: PLR0913 - a request is what it is
        self,
        kind: str,
        key: str,
        fields: Mapping[str, Any],
        headers: Mapping[str, str] | None = None,
        *,
        path: str = GENERATIONS,
        picture: bytes | None = None,
        patience: float = PATIENCE,
    ) -> dict[str, Any]:
        """Ask one gateway, tell the tally, and the answer's body (of a stream: its last event's)."""
        sent: dict[str, Any] = {"json": dict(fields)}
        if picture is not None:
            form = aiohttp.FormData({name: str(value) for name, value in fields.items()})
            form.add_field("image", picture, filename="reference.png", content_type="image/png")
            sent = {"data": form}
        return await self.exchange(kind, "POST", path, key, patience=patience, headers=dict(headers or {}), **sent)

    async def exchange(
        self, kind: str, method: str, path: str, key: str, *, patience: float = PATIENCE, **sent: Any
    ) -> dict[str, Any]:
        answers, began, body = self.tally.kinds.setdefault(kind, Answers()), time.monotonic(), dict[str, Any]()
        answers.asked += 1
        headers = {"authorization": f"Bearer {key}", **sent.pop("headers", {})}
        try:
            async with (
                asyncio.timeout(patience),
                self.session.request(method, next(self._urls) + path, headers=headers, **sent) as answer,
            ):
                said, body = await _read(answer)
        except TimeoutError:
            said = LEFT
        except (aiohttp.ClientError, ConnectionError):
            said = CUT
        took = time.monotonic() - began
        answers.said[said] += 1
        answers.seconds += took
        answers.longest = max(answers.longest, took)
        await self.count(body)
        self.tally.elapsed = time.monotonic() - self._began
        self._on_answer(self.tally)
        return body

    async def count(self, body: Mapping[str, Any]) -> None:
        """What was given and what it cost. Every picture is fetched and decoded, from wherever it is."""
        told = body if "imagegate" in body else body.get("result") or {}
        given = [told] if "b64_json" in told or "url" in told else told.get("data") or []
        self.tally.images += len(given)
        self.tally.dollars += Decimal(str((told.get("imagegate") or {}).get("cost") or 0))
        for each in given:
            try:
                data = b64decode(each["b64_json"]) if each.get("b64_json") else await self._fetched(each["url"])
                Image.open(io.BytesIO(data)).load()
            except (OSError, aiohttp.ClientError):
                self.tally.broken += 1

    async def _fetched(self, url: str) -> bytes:
        async with self.session.get(url) as answer:
            answer.raise_for_status()
            return await answer.read()


async def _read(answer: aiohttp.ClientResponse) -> tuple[str, dict[str, Any]]:
    if answer.content_type == "text/event-stream":
        frames = [line[6:] for line in (await answer.read()).split(b"\n") if line.startswith(b"data: ")]
    else:
        frames = [await answer.read()]
    body: dict[str, Any] = json.loads(frames[-1]) if frames else {}
    error = body.get("error") or {}
    return f"{answer.status} {error['code']}" if error and "id" not in body else str(answer.status), body
