"""What the clients ask, and what is asked of it afterwards: what was bought, and for whom."""

import io
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

    def new_key(self, team: str) -> str:
        secret: str = administer(self.gateway, "keys", {"team": team, "budgets": ["1/day"]})["secret"]
        return secret

    def billed(self) -> list[str]:
        """The prompt of each image that the simulator has billed so far."""
        return [job["prompt"] for job in bill(self.simulator)["jobs"] for _ in range(job["billed_images"])]

    def spent(self, team: str) -> int:
        """Micro-dollars, by the gateway's own ledger."""
        rows = administer(self.gateway, "spend?by=team")["data"]
        return sum(row["microdollars"] for row in rows if row["group"] == team)


def described(data: bytes) -> str:
    """`PNG 1024x1024`, of a picture that can be decoded whole."""
    with Image.open(io.BytesIO(data)) as image:
        image.load()
        return f"{image.format} {image.width}x{image.height}"
