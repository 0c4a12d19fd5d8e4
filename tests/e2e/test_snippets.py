"""The snippets of EmpirioLabs' page for this model, as they stand there but for the base URL and the key."""

import ast
import json
import os
import shutil
import subprocess
import sys
import time
from typing import Any

import pytest
from rig import Rig, check_picture, picture_bytes

pytest_plugins = ["stand"]

CURL_SUBMIT = """\
curl https://api.empiriolabs.ai/v1/images/generations \\
  -H "Authorization: Bearer $EMPIRIOLABS_API_KEY" \\
  -H "Content-Type: application/json" \\
  -d '{
    "model": "flux-2-klein-4b",
    "prompt": "Describe what you want FLUX.2 Klein 4B to generate."
  }'
"""
CURL_POLL = """\
curl https://api.empiriolabs.ai/v1/jobs/JOB_ID \\
  -H "Authorization: Bearer $EMPIRIOLABS_API_KEY"
"""
PYTHON = """\
import requests

response = requests.post(
    "https://api.empiriolabs.ai/v1/images/generations",
    headers={"Authorization": "Bearer YOUR_EMPIRIOLABS_API_KEY"},
    json={
        "model": "flux-2-klein-4b",
        "prompt": "Describe what you want FLUX.2 Klein 4B to generate.",
    },
)
job = response.json()

# Generation runs as an async job. Poll until it completes.
import time
while True:
    status = requests.get(
        f"https://api.empiriolabs.ai/v1/jobs/{job['job_id']}",
        headers={"Authorization": "Bearer YOUR_EMPIRIOLABS_API_KEY"},
    ).json()
    if status.get("status") in ("completed", "failed"):
        print(status)
        break
    time.sleep(5)
"""
SYNC = ("\n  }'", ',\n    "sync": true\n  }\'')
ASYNC = ("\n  }'", ',\n    "sync": false\n  }\'')

needs_curl = pytest.mark.skipif(shutil.which("curl") is None, reason="curl is not installed")


def printed(*command: str, key: str) -> str:
    environment = {"PATH": os.environ["PATH"], "EMPIRIOLABS_API_KEY": key}
    return subprocess.run(command, env=environment, capture_output=True, check=True, timeout=60, text=True).stdout


def shell(pair: Rig, snippet: str) -> Any:
    """What it prints, read as JSON."""
    return json.loads(printed("sh", "-c", snippet.replace("https://api.empiriolabs.ai", pair.url), key=pair.key))


async def check_result(result: dict[str, Any]) -> None:
    (item,) = result["data"]
    check_picture(await picture_bytes(item), "webp", "1024x1024")


@needs_curl
async def test_curl_submits_and_polls(pair: Rig) -> None:
    submitted = shell(pair, CURL_SUBMIT)
    job = shell(pair, CURL_POLL.replace("JOB_ID", submitted["job_id"]))
    assert (job["job_id"], job["status"], job["progress"], job["error"]) == (submitted["job_id"], "completed", 1, None)
    await check_result(job["result"])


@needs_curl
async def test_curl_waits_with_sync(pair: Rig) -> None:
    """The answer is OpenAI's, as the page promises."""
    answer = shell(pair, CURL_SUBMIT.replace(*SYNC))
    assert isinstance(answer["created"], int)
    await check_result(answer)


@needs_curl
async def test_curl_polls_a_job_that_still_runs(pair: Rig) -> None:
    submitted = shell(pair, CURL_SUBMIT.replace(*ASYNC))
    assert submitted["status"] in ("queued", "processing")
    until = time.monotonic() + 30
    while (job := shell(pair, CURL_POLL.replace("JOB_ID", submitted["job_id"])))["status"] != "completed":
        assert job["status"] in ("queued", "processing")
        assert time.monotonic() < until
    await check_result(job["result"])


async def test_python_submits_and_polls(pair: Rig) -> None:
    snippet = PYTHON.replace("https://api.empiriolabs.ai", pair.url).replace("YOUR_EMPIRIOLABS_API_KEY", pair.key)
    job = ast.literal_eval(printed(sys.executable, "-c", snippet, key=pair.key))
    assert (job["status"], job["error"]) == ("completed", None)
    await check_result(job["result"])
