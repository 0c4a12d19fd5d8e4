"""What the doctor makes of what it saw: every verdict, at its edges."""

import pytest

from gateway.core.health import (
    EXIT,
    Check,
    Finding,
    Heard,
    exit_status,
    judge_disk,
    judge_durability,
    judge_permissions,
    judge_pictures,
    judge_store,
    judge_upstream,
    skew_of,
)

URL = "https://api.example"


def test_every_check_has_an_exit_status_of_its_own() -> None:
    assert list(EXIT) == list(Check)
    assert sorted(EXIT.values()) == list(range(10, 20))


def test_the_first_failure_gives_the_exit_status_and_warnings_none() -> None:
    warned = Finding(Check.CLOCK, "warn", "late")
    assert exit_status([]) == 0
    assert exit_status([warned]) == 0
    assert exit_status([warned, Finding(Check.DISK, "fail", "full"), Finding(Check.ACCOUNT, "fail", "no")]) == 15


@pytest.mark.parametrize(
    ("asked", "answered", "date", "skew"),
    [
        (10_000, 10_050, 10_000, 0),
        (10_999, 10_999, 10_000, 0),  # a Date is of whole seconds
        (9_800, 10_100, 10_000, 0),  # told on the way
        (11_000, 11_050, 10_000, 1),
        (71_000, 71_050, 10_000, 60_001),
        (9_000, 9_050, 10_000, -950),
        (3_000, 3_100, 10_000, -6_900),
        (0, 30_000, 10_000, 0),  # a slow answer proves nothing
    ],
)
def test_skew_is_only_what_whole_seconds_and_the_wire_do_not_explain(
    asked: int, answered: int, date: int, skew: int
) -> None:
    assert skew_of(asked, answered, date) == skew


@pytest.mark.parametrize(
    ("heard", "verdicts"),
    [
        (Heard(200, skew=0), "ok ok ok"),
        (Heard(200, skew=5_000), "ok ok ok"),
        (Heard(200, skew=-5_001), "ok ok warn"),
        (Heard(200, skew=60_000), "ok ok warn"),
        (Heard(200, skew=-60_001), "ok ok fail"),
        (Heard(200), "ok ok warn"),
        (Heard(401, skew=0), "ok fail ok"),
        (Heard(403, skew=0), "ok fail ok"),
        (Heard(402, skew=0), "ok fail ok"),
        (Heard(429, skew=0), "ok warn ok"),
        (Heard(503, skew=0), "fail warn ok"),
        (Heard(404, skew=0), "fail warn ok"),
        (Heard(301, skew=0), "fail warn ok"),
        (Heard(None, "no answer"), "fail warn warn"),
        (None, "warn fail warn"),
    ],
)
def test_upstream_account_and_clock_are_told_apart(heard: Heard | None, verdicts: str) -> None:
    found = judge_upstream(URL, heard)
    assert [each.check for each in found] == [Check.UPSTREAM, Check.ACCOUNT, Check.CLOCK]
    assert [each.verdict for each in found] == verdicts.split()
    assert [bool(each.advice) for each in found] == [each.verdict != "ok" for each in found]


def test_the_clock_says_which_way_it_is_wrong() -> None:
    assert judge_upstream(URL, Heard(200, skew=90_000))[2].found == "90 s ahead of the upstream's"
    assert judge_upstream(URL, Heard(200, skew=-90_000))[2].found == "90 s behind the upstream's"


@pytest.mark.parametrize(
    ("free", "verdict"),
    [(1_000_000_000, "ok"), (999_999_999, "warn"), (100_000_000, "warn"), (99_999_999, "fail"), (0, "fail")],
)
def test_the_fullest_disk_counts(free: int, verdict: str) -> None:
    assert judge_disk({"/a": 10**12, "/b": free}).verdict == verdict


@pytest.mark.parametrize(
    ("durable", "sync", "verdict"), [(True, 0.1, "ok"), (True, 0.11, "warn"), (False, 0.001, "warn")]
)
def test_durability_is_that_of_the_store_and_the_speed_of_the_disk(durable: bool, sync: float, verdict: str) -> None:
    assert judge_durability("synchronous=FULL", durable=durable, sync=sync).verdict == verdict


@pytest.mark.parametrize(
    ("store", "owner", "verdict"),
    [(None, None, "ok"), ("a", "a", "ok"), ("a", "b", "warn"), (None, "b", "warn"), ("a", None, "fail")],
)
def test_pictures_are_those_of_one_store(store: str | None, owner: str | None, verdict: str) -> None:
    found = judge_pictures("/p", store, owner)
    assert found.verdict == verdict
    assert bool(found.advice) == (verdict != "ok")
    assert ("echo a > /p/.store" in found.advice) == ((store, owner) == ("a", "b"))


def test_a_drift_is_a_failure_whatever_its_size() -> None:
    assert judge_store("SQLite", 0).verdict == "ok"
    assert judge_store("SQLite", 1).verdict == "fail"


@pytest.mark.parametrize(
    ("modes", "verdict"),
    [
        ({}, "ok"),
        ({"/d": 0o700, "/d/db": 0o600}, "ok"),
        ({"/d": 0o750, "/d/db": 0o600}, "warn"),
        ({"/d": 0o700, "/d/db": 0o640}, "fail"),
        ({"/d": 0o700, "/d/db": 0o604}, "fail"),
        ({"/d": 0o755, "/d/db": 0o604}, "fail"),
    ],
)
def test_files_of_others_weigh_more_than_directories(modes: dict[str, int], verdict: str) -> None:
    found = judge_permissions(modes, {"/d"})
    assert found.verdict == verdict
    assert all(path in found.advice for path, mode in modes.items() if mode & 0o077)
