"""What the clients ask, and what is asked of it afterwards: what was bought, and for whom."""

import io
import re
import urllib.request
from dataclasses import dataclass

from PIL import Image
from processes import Process, administer, bill

#: of one image of flux-2-klein-4b, in micro-dollars
PRICE = 8_500


@dataclass(frozen=True, slots=True)
class Gate:
    simulator: Process
    gateway: Process

    @property
    def url(self) -> str:
        return self.gateway.url

    def new_key(self, team: str, budget: str = "1/day") -> str:
        secret: str = administer(self.gateway, "keys", {"team": team, "budgets": [budget]})["secret"]
        return secret

    def billed(self) -> list[tuple[str, int]]:
        """Prompt and seed of each image that the simulator has billed so far."""
        jobs = bill(self.simulator)["jobs"]
        return [(job["prompt"], job["seed"]) for job in jobs for _ in range(job["billed_images"])]

    def spent(self, team: str) -> int:
        """Micro-dollars, by the gateway's own ledger."""
        rows = administer(self.gateway, "spend?by=team")["data"]
        return sum(row["microdollars"] for row in rows if row["group"] == team)

    def refused(self) -> int:
        """How many requests it has answered so far with 429 `insufficient_quota`."""
        metrics = fetched(f"{self.url}/metrics").decode()
        counts = re.findall(r'^imagegate_requests_total{.*"insufficient_quota".*} (\S+)$', metrics, re.MULTILINE)
        return sum(int(float(count)) for count in counts)


def fetched(url: str) -> bytes:
    """What is there, without a credential."""
    with urllib.request.urlopen(url, timeout=30) as answer:
        data: bytes = answer.read()
        return data


def described(data: bytes) -> str:
    """`PNG 1024x1024`, of a picture that can be decoded whole."""
    with Image.open(io.BytesIO(data)) as image:
        image.load()
        return f"{image.format} {image.width}x{image.height}"
