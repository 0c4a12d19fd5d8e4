"""The gateway's books beside the upstream's: what was billed, kept, charged and held, down to the image."""

import time
from collections import Counter
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Self

from PIL import Image
from processes import Process, administer, bill

#: Micro-dollars an image, of gateway and upstream alike.
PRICE = 8500
_PAGE = 1000

Entry = dict[str, Any]
#: Name, width, height.
File = tuple[str, int, int]


@dataclass(frozen=True, slots=True)
class Books:
    """Jobs with their attempts, ledger rows, budgets and drift as /admin/v1 says; `bought` as the simulator says."""

    jobs: list[Entry]
    rows: list[Entry]
    budgets: list[Entry]
    drift: int
    bought: list[Entry]
    pictures: Path

    @classmethod
    def of(cls, gateway: Process, upstream: Process | None = None) -> Self:
        return cls(
            jobs=_pages(gateway, "jobs", "id"),
            rows=_pages(gateway, "ledger", "seq"),
            budgets=administer(gateway, "budgets")["data"],
            drift=administer(gateway, "drift")["microdollars"],
            bought=bill(upstream)["jobs"] if upstream else [],
            pictures=_pictures(gateway),
        )

    @property
    def attempts(self) -> list[Entry]:
        """Each once: whoever follows a job has its attempts as well."""
        return list({attempt["id"]: attempt for job in self.jobs for attempt in job["attempts"]}.values())

    @property
    def unconfirmed(self) -> list[Entry]:
        return [attempt for attempt in self.attempts if attempt["state"] == "unconfirmed"]

    @property
    def billed(self) -> int:
        """Images that the upstream made, and wants to be paid for."""
        return sum(each["billed_images"] for each in self.bought)

    @property
    def held(self) -> int:
        """Micro-dollars; every scope must say the same, since every order here counts in all of them."""
        (held,) = {budget["held"]["microdollars"] for budget in self.budgets}
        return int(held)

    @property
    def spent(self) -> int:
        (spent,) = {budget["spent"]["microdollars"] for budget in self.budgets}
        return int(spent)

    @property
    def settled(self) -> int:
        return sum(row["amount"]["microdollars"] for row in self.rows if row["kind"] == "settle")

    def orphans(self) -> list[Entry]:
        """What the upstream took and no attempt knows: the crash came between."""
        known = {attempt["upstream_id"] for attempt in self.attempts}
        return [each for each in self.bought if each["job_id"] not in known]

    def lost_images(self) -> int:
        """Billed, but neither kept by the attempt that knows the upstream's job nor under an unconfirmed, open hold."""
        by_upstream = {attempt["upstream_id"]: attempt for attempt in self.attempts}
        open_holds = Counter(
            (attempt["seed"], attempt["images"])
            for attempt in self.unconfirmed
            if attempt["held"]["microdollars"] == attempt["images"] * PRICE and attempt["upstream_id"] is None
        )
        whole = self._whole_pictures()
        lost = 0
        for each in self.bought:
            attempt = by_upstream.get(each["job_id"])
            if attempt is not None:
                kept = [_file(picture) in whole for picture in attempt["pictures"] if attempt["state"] == "done"]
                lost += max(0, each["billed_images"] - sum(kept))
            elif open_holds[each["seed"], each["asked"]] > 0:
                open_holds[each["seed"], each["asked"]] -= 1
            else:
                lost += each["billed_images"]
        return lost

    def wrong_charges(self) -> int:
        """Attempts ended twice, or at another price than that of the images that the upstream billed for them."""
        ends = Counter(row["attempt_id"] for row in self.rows if row["kind"] != "reserve")
        billed = {each["job_id"]: each["billed_images"] for each in self.bought}
        wrong = {attempt_id for attempt_id, often in ends.items() if often > 1}
        for attempt in self.attempts:
            due = billed.get(attempt["upstream_id"], 0) * PRICE
            if attempt["state"] != "unconfirmed" and attempt["cost"]["microdollars"] != due:
                wrong.add(attempt["id"])
        return len(wrong)

    def repeated_submits(self) -> int:
        """Accepted submits beyond the first of each prompt and seed: every attempt has drawn its own."""
        often = Counter((each["prompt"], each["seed"]) for each in self.bought)
        return sum(often.values()) - len(often)

    def bought_beyond(self, wishes: Mapping[str, int]) -> int:
        """Images billed beyond what each prompt asked for, retries and all."""
        billed: Counter[str] = Counter()
        for each in self.bought:
            billed[each["prompt"]] += each["billed_images"]
        return sum(max(0, images - wishes[prompt]) for prompt, images in billed.items())

    def broken_promises(self, promised: Mapping[str, int | None]) -> int:
        """Jobs that a client was told of and that are gone, or have other pictures than it was answered with."""
        images = {job["id"]: job["images"] for job in self.jobs}
        return sum(
            1
            for job_id, answered in promised.items()
            if job_id not in images or (answered is not None and images[job_id] != answered)
        )

    def distinct_pictures(self) -> int:
        return len({picture["name"] for attempt in self.attempts for picture in attempt["pictures"]})

    def _whole_pictures(self) -> set[File]:
        """Those that decode to the last pixel, in the size that the journal says."""
        told = {_file(picture) for attempt in self.attempts for picture in attempt["pictures"]}
        return {file for file in told if _size_of(self.pictures / file[0]) == file[1:]}


def overdrawn(gateway: Process) -> int:
    """Micro-dollars that spent and held together are over a budget, in the worst of them."""
    worst: int = max(
        state["spent"]["microdollars"] + state["held"]["microdollars"] - state["limit"]["microdollars"]
        for state in administer(gateway, "budgets")["data"]
    )
    return worst


def settle_down(gateway: Process, upstream: Process | None, patience: float = 60.0) -> None:
    """Until the gateway makes nothing any more, and neither does the upstream."""
    ends = time.monotonic() + patience
    while _open_jobs(gateway) or (upstream and _works(upstream)):
        assert time.monotonic() < ends, f"{_open_jobs(gateway)} jobs are still open after {patience} s"
        time.sleep(0.2)


def _works(upstream: Process) -> bool:
    return any(each["status"] == "queued" for each in bill(upstream)["jobs"])


def tell(record: Callable[[str, object], None], title: str, figures: Mapping[str, object]) -> None:
    """Print the figures (seen with -s) and put them into the junit report."""
    print(f"\n{title}")  # noqa: T201 - the figures that this proof is run for
    for name, figure in figures.items():
        print(f"  {name:<38}{figure!s:>12}")  # noqa: T201
        record(name, figure)


def _open_jobs(gateway: Process) -> int:
    return sum(
        len(administer(gateway, f"jobs?status={status}&limit=1000")["data"]) for status in ("queued", "processing")
    )


def _pictures(gateway: Process) -> Path:
    shared = gateway.environment.get("IMAGEGATE_BLOBS")
    return Path(shared.removeprefix("file://") if shared else f"{gateway.environment['IMAGEGATE_DATA']}/pictures")


def _pages(gateway: Process, path: str, by: str) -> list[Entry]:
    found: list[Entry] = administer(gateway, f"{path}?limit={_PAGE}")["data"]
    page = found
    while len(page) == _PAGE:
        page = administer(gateway, f"{path}?limit={_PAGE}&after={page[-1][by]}")["data"]
        found += page
    return found


def _file(picture: Entry) -> File:
    return picture["name"], picture["width"], picture["height"]


def _size_of(path: Path) -> tuple[int, int] | None:
    """After every pixel was decoded; None for a file that is missing or no picture."""
    try:
        with Image.open(path) as image:
            image.load()
            return image.size
    except OSError:
        return None
