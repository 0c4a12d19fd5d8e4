"""`imagegate cache` beside a gateway that has made pictures, and over its store once it has stopped."""

import json
import os
import re
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import httpx
import pytest
from click.testing import CliRunner, Result
from openai import OpenAI
from processes import ADMIN_KEY
from rig import MODEL, Rig, bearer, check_picture, rig

from gateway.cli.main import main
from gateway.cli.output import size

SIZE = "256x256"


@pytest.fixture(scope="module")
def pair(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Rig]:
    """One of its own: other tests look for what they have in the cache."""
    with rig(tmp_path_factory.mktemp("cache")) as running:
        yield running


@pytest.fixture(autouse=True)
def environment(pair: Rig, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """That of a shell beside the gateway."""
    for name in [name for name in os.environ if name.startswith(("IMAGEGATE_", "EMPIRIOLABS_", "XDG_RUNTIME_DIR"))]:
        monkeypatch.delenv(name)
    monkeypatch.setenv("IMAGEGATE_DATA", pair.gateway.environment["IMAGEGATE_DATA"])
    monkeypatch.chdir(tmp_path)


def run(*words: str, **environment: str) -> Result:
    result = CliRunner().invoke(main, words, env=environment, prog_name="imagegate")
    assert result.exit_code == 0, result.output
    return result


def said(*words: str, **environment: str) -> Any:
    return json.loads(run(*words, "--json", **environment).stdout)


def ask(pair: Rig, key: str, **fields: Any) -> dict[str, Any]:
    """What the SDK was told of an image of seed 7: job, cache, cost."""
    with OpenAI(base_url=pair.base_url, api_key=key) as client:
        answer = client.images.generate(
            model=MODEL,
            prompt="a barn",
            size=SIZE,
            extra_body={"seed": 7, **fields},
        )
    extra = answer.model_extra
    assert extra is not None
    told: dict[str, Any] = extra["imagegate"]
    return told


def check_job(pair: Rig, key: str, job_id: str) -> None:
    """Its team still gets it, picture and all."""
    job = httpx.get(f"{pair.base_url}/jobs/{job_id}", headers=bearer(key)).raise_for_status().json()
    check_picture(httpx.get(job["result"]["data"][0]["url"]).raise_for_status().content, "webp", SIZE)


def test_what_is_cached_is_shown_and_purged_while_jobs_and_pictures_stay(pair: Rig) -> None:
    red, blue = pair.new_key("1/total", team="red"), pair.new_key("1/total", team="blue")
    first = ask(pair, red)
    again = [ask(pair, red) for _ in range(2)]
    assert [first["cache"], *(each["cache"] for each in again)] == ["miss", "hit", "hit"]
    other = ask(pair, blue)

    found = said("cache", "stats", "--team", "red")
    assert (found["entries"], found["being_made"], found["images"], found["hits"]) == (1, 0, 1, 2)
    row = {"images": 2, "microdollars": 17_000, "dollars": "0.017"}
    assert found["saved"] == {"data": [{"group": "red", **row}], "total": {"group": "total", **row}}
    elsewhere = {"IMAGEGATE_DATA": "elsewhere", "IMAGEGATE_ADMIN_KEY": ADMIN_KEY}
    assert said("cache", "stats", "--team", "red", "--url", pair.url, **elsewhere) == found
    table = run("cache", "stats", "--team", "red", "--by", "model").stdout
    for line in (
        "entries +1, 0 of them being made",
        f"images +1, {size(found['bytes'])}",
        "hits +2",
        rf"{MODEL} +2 +\$0\.017",
    ):
        assert re.search(f"(?m)^{line}$", table), table
    assert re.search(rf"(?m)^saved +\$0\.017 since {found['since']}$", table)

    assert run("cache", "purge", "--team", "red").stdout == "Entries purged: 1\n"
    assert ask(pair, blue)["cache"] == "hit"
    anew = ask(pair, red)
    assert (anew["cache"], anew["cost"]) == ("miss", "0.0085")
    for job in (first, *again, anew):
        check_job(pair, red, job["job"])
    check_job(pair, blue, other["job"])


@pytest.mark.parametrize("words", [("--model", MODEL), ("--older-than", "0"), ("--fingerprint",)])
def test_each_filter_finds_what_was_just_made(pair: Rig, words: tuple[str, ...]) -> None:
    team = "by-" + words[0].strip("-")
    key = pair.new_key("1/total", team=team)
    made = ask(pair, key)["job"]
    fingerprint = said("jobs", "show", made)["fingerprint"]
    filters = (*words, fingerprint[:8]) if len(words) == 1 else words
    for apart in ("--older-than", "1h"), ("--model", "gpt-image-1"), ("--fingerprint", "0" * 64):
        assert said("cache", "purge", "--team", team, *apart) == {"purged": 0}
    assert ask(pair, key)["cache"] == "hit"
    assert said("cache", "purge", "--team", team, *filters) == {"purged": 1}
    assert ask(pair, key)["cache"] == "miss"
    check_job(pair, key, made)


def test_a_job_says_how_it_came_to_its_picture(pair: Rig) -> None:
    key = pair.new_key("1/total", team="gold")
    made, found = ask(pair, key)["job"], ask(pair, key)["job"]
    shown = [said("jobs", "show", job) for job in (made, found)]
    assert [(job["source"], job["follows"]) for job in shown] == [("miss", None), ("hit", made)]
    assert shown[0]["fingerprint"] == shown[1]["fingerprint"]
    assert re.fullmatch("[0-9a-f]{64}", shown[0]["fingerprint"])
    text = run("jobs", "show", found).stdout
    for line in (f"source +hit, follows {made}", f"fingerprint +{shown[0]['fingerprint']}"):
        assert re.search(f"(?m)^{line}$", text)
    assert f"follows {made}: found made" in text
    whole = run("jobs", "show", made).stdout
    assert re.search("(?m)^source +miss$", whole)
    timeline = shown[0]["timeline"]
    events = [event["event"] for event in timeline]
    assert (events[0], events[-1]) == ("asked", "followed")
    assert [event for event in events if event in {"held", "submitted", "done", "settled"}] == [
        *("held", "submitted", "done", "settled"),
    ]
    for event in timeline:
        assert event["text"] in whole
        assert event["after_ms"] >= 0
    assert "In all " in whole


def test_without_a_gateway_the_store_itself_is_purged(pair: Rig) -> None:
    key = pair.new_key("1/total", team="offline")
    made = ask(pair, key)["job"]
    before = said("cache", "stats")
    pair.gateway.stop()
    try:
        assert said("cache", "stats") == before
        assert said("cache", "purge", "--all") == {"purged": before["entries"]}
        emptied = said("cache", "stats", "--by", "day")
        assert (emptied["entries"], emptied["oldest"]) == (0, None)
        assert emptied["saved"]["total"] == before["saved"]["total"]
        assert "Nothing was saved." in run("cache", "stats", "--since", "2999-01-01").stdout
    finally:
        pair.gateway.start()
    assert ask(pair, key)["cache"] == "miss"
    check_job(pair, key, made)


@pytest.mark.parametrize(
    ("count", "text"),
    [
        (0, "0 bytes"),
        (999, "999 bytes"),
        (1000, "1.0 kB"),
        (999_949, "999.9 kB"),
        (999_950, "1.0 MB"),
        (50_000_000_000, "50.0 GB"),
        (1_234_567_000_000_000, "1,234.6 TB"),
    ],
)
def test_sizes_are_said_in_units_that_people_read(count: int, text: str) -> None:
    assert size(count) == text
