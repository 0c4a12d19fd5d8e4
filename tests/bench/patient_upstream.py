"""`python patient_upstream.py PORT SECONDS [SPREAD]`: an EmpirioLabs whose jobs take so many seconds, in as few instructions as
Python allows. `SPREAD`: sigma of the logarithm of a job's seconds."""

import asyncio
import json
import sys
import time
from datetime import UTC, datetime
from itertools import count
from math import exp
from random import Random

import uvloop
from immediate_upstream import Made, Upstream


class Patient:
    """What its jobs are: when each began and will end, in seconds since the epoch."""

    def __init__(self, median: float, spread: float) -> None:
        self._median, self._spread = median, spread
        self._dice = Random(7)
        self._numbers = count()
        self._jobs: dict[str, tuple[float, float]] = {}
        self.made = Made("drawing")

    def accept(self) -> bytes:
        job_id, now = f"job_{next(self._numbers):x}", time.time()
        self._jobs[job_id] = now, now + self._median * exp(self._spread * self._dice.gauss(0, 1))
        return json.dumps({"job_id": job_id, "status": "queued", "created_at": _iso(now)}).encode()

    def show(self, job_id: str) -> bytes:
        now = time.time()
        if job_id not in self._jobs:  # who only looks whether it is there
            return b"{}"
        began, ends = self._jobs[job_id]
        head = f'{{"job_id":"{job_id}","created_at":"{_iso(began)}"'
        if now < ends:
            return f'{head},"status":"processing","progress":{(now - began) / (ends - began):.3f}}}'.encode()
        done = f'{head},"status":"completed","completed_at":"{_iso(ends)}","result":{{"data":[{{"b64_json":"'.encode()
        return b'%b%b"}]}}' % (done, self.made.drawing.base64(int(job_id[4:], 16)))


class PatientUpstream(Upstream):
    def __init__(self, jobs: Patient) -> None:
        super().__init__(jobs.made)
        self._patient = jobs

    def _answer(self, head: bytes, body: bytes) -> bytes:
        if head.startswith(b"GET"):
            return self._patient.show(head.split(b" ", 2)[1].rpartition(b"/")[2].decode())
        return self._patient.accept()


def _iso(seconds: float) -> str:
    return datetime.fromtimestamp(seconds, UTC).isoformat(timespec="milliseconds").replace("+00:00", "Z")


async def serve(port: int, median: float, spread: float) -> None:
    jobs = Patient(median, spread)
    loop = asyncio.get_running_loop()
    server = await loop.create_server(lambda: PatientUpstream(jobs), "127.0.0.1", port, backlog=4096)
    await server.serve_forever()


if __name__ == "__main__":
    uvloop.run(serve(int(sys.argv[1]), *map(float, (*sys.argv[2:], "0")[:2])))
