"""Health: what `imagegate doctor` looks at, how what it sees is judged, and the exit status that says which check failed."""

from collections.abc import Collection, Iterable, Mapping, Sequence
from dataclasses import dataclass
from enum import StrEnum
from types import MappingProxyType
from typing import Literal

Verdict = Literal["ok", "warn", "fail"]

#: Bytes free.
_SCARCE, _NONE_LEFT = 1_000_000_000, 100_000_000
#: Ms by which our clock and the upstream's may differ: past the first, windows begin at odd moments; past the second, budgets
#: of a day are charged to another one and signed URLs die early.
_ODD, _WRONG = 5_000, 60_000
#: Seconds of one fsync, for which every order waits twice.
_SLOW_SYNC = 0.1
_OTHERS = 0o077
_SET_KEY = "Set EMPIRIOLABS_API_KEY; or leave its leg out of routes.toml, where only workers of your own make images."
_FINE = range(200, 300)
_BUSY, _NO_CREDIT, _REFUSED, _BROKEN = 429, 402, (401, 403), 500


class Check(StrEnum):
    SETTINGS = "settings"
    POLICIES = "policies"
    STORE = "store"
    DURABILITY = "durability"
    PERMISSIONS = "permissions"
    DISK = "disk"
    UPSTREAM = "upstream"
    ACCOUNT = "account"
    CLOCK = "clock"
    PICTURES = "pictures"


#: Exit status by the check that failed; 1 and 2 are the command line's own.
EXIT: Mapping[Check, int] = MappingProxyType({check: 10 + place for place, check in enumerate(Check)})


@dataclass(frozen=True, slots=True)
class Finding:
    """`advice` is a line, and empty where all is well."""

    check: Check
    verdict: Verdict
    found: str
    advice: str = ""


@dataclass(frozen=True, slots=True)
class Heard:
    """What the upstream said to a harmless question. `status` None: nothing, for that `reason`. `skew`: ms that our clock is
    ahead of its clock (behind: negative), None where it did not say."""

    status: int | None
    reason: str = ""
    skew: int | None = None


def exit_status(findings: Iterable[Finding]) -> int:
    """That of the first check that failed; 0 when none did."""
    return next((EXIT[finding.check] for finding in findings if finding.verdict == "fail"), 0)


def skew_of(asked: int, answered: int, date: int) -> int:
    """Ms that a clock which read `asked` and `answered` is ahead of the one that read `date` in between.

    A Date header (RFC 9110 6.6.1) is of whole seconds, so up to a second, and the time on the wire, is no skew.
    """
    return max(asked - date - 999, 0) + min(answered - date, 0)


def judge_store(about: str, drift: int) -> Finding:
    if drift:
        return Finding(
            Check.STORE,
            "fail",
            f"{about}; counters and ledger differ by {drift:,} micro-dollars",
            "Keep a backup of it and report it: no order may do that.",
        )
    return Finding(Check.STORE, "ok", f"{about}; the counters are the ledger's")


def judge_durability(settings: str, *, durable: bool, sync: float) -> Finding:
    """`sync`: seconds that a small write took to reach the disk."""
    found = f"{settings}; a write reached the disk in {sync * 1000:,.1f} ms"
    if not durable:
        return Finding(
            Check.DURABILITY,
            "warn",
            found,
            "A crash may lose money that was acknowledged. Redis: set appendfsync to always.",
        )
    if sync > _SLOW_SYNC:
        return Finding(Check.DURABILITY, "warn", found, "Every order waits for two of these: use a quicker disk.")
    return Finding(Check.DURABILITY, "ok", found)


def judge_permissions(modes: Mapping[str, int], directories: Collection[str]) -> Finding:
    """Modes by path. Files and sockets that others may use give away keys, or administer; directories are only looked into."""
    opened = {path: mode for path, mode in modes.items() if mode & _OTHERS}
    if not opened:
        return Finding(Check.PERMISSIONS, "ok", "store, pictures and admin socket are their owner's alone")
    worst: Verdict = "warn" if opened.keys() <= set(directories) else "fail"
    found = ", ".join(f"{path} has mode {mode:04o}" for path, mode in opened.items())
    return Finding(Check.PERMISSIONS, worst, found, f"chmod go-rwx {' '.join(opened)}")


def judge_disk(free: Mapping[str, int]) -> Finding:
    """Bytes free by directory."""
    found = ", ".join(f"{size / 1e9:,.1f} GB free for {path}" for path, size in free.items())
    least = min(free.values())
    if least < _NONE_LEFT:
        return Finding(Check.DISK, "fail", found, "Make room now: a full disk stops every order.")
    if least < _SCARCE:
        return Finding(Check.DISK, "warn", found, "Make room: pictures take up to a few MB each.")
    return Finding(Check.DISK, "ok", found)


def judge_pictures(directory: str, store: str | None, owner: str | None) -> Finding:
    """By the id of this store and of the one that the pictures belong to; None: it has none yet, as before a first start."""
    if owner == store:
        found = "are this store's" if store else "are nobody's yet: the first start claims them"
        return Finding(Check.PICTURES, "ok", f"those in {directory} {found}")
    if owner is None:
        advice = "Is its disk mounted? Without them, what was made is made and paid for anew."
        return Finding(Check.PICTURES, "fail", f"{directory} is not the one that this store had", advice)
    found = f"those in {directory} belong to another store: none is ever deleted"
    its_own = "Set IMAGEGATE_BLOBS to a directory of its own"
    or_claim = f", or, where no other gateway uses these: echo {store} > {directory}/.store" if store else "."
    return Finding(Check.PICTURES, "warn", found, its_own + or_claim)


def upstream_unused() -> Sequence[Finding]:
    """No route leads there."""
    told = "no route has a leg at EmpirioLabs"
    return [Finding(check, "ok", told) for check in (Check.UPSTREAM, Check.ACCOUNT, Check.CLOCK)]


def judge_upstream(url: str, heard: Heard | None) -> Sequence[Finding]:
    """Is it there, does it take our key, and does its clock agree with ours? None: there is no key to ask it with."""
    if heard is None:
        return [
            Finding(Check.UPSTREAM, "warn", f"{url} was not asked: there is no key", _SET_KEY),
            Finding(Check.ACCOUNT, "fail", "there is no key", _SET_KEY),
            Finding(Check.CLOCK, "warn", "not compared: the upstream was not asked", _SET_KEY),
        ]
    return [_reached(url, heard), _admitted(heard), _clocks(heard.skew)]


def _reached(url: str, heard: Heard) -> Finding:
    if heard.status is None:
        advice = "Check the network, and IMAGEGATE_EMPIRIOLABS_URL."
        return Finding(Check.UPSTREAM, "fail", f"{url}: {heard.reason}", advice)
    found = f"{url} answers ({heard.status})"
    if heard.status >= _BROKEN:
        return Finding(Check.UPSTREAM, "fail", found, "It is in trouble: orders wait or fail until it recovers.")
    if heard.status in _FINE or heard.status in {*_REFUSED, _NO_CREDIT, _BUSY}:
        return Finding(Check.UPSTREAM, "ok", found)
    return Finding(Check.UPSTREAM, "fail", found, "No EmpirioLabs speaks there: check IMAGEGATE_EMPIRIOLABS_URL.")


def _admitted(heard: Heard) -> Finding:
    if heard.status in _REFUSED:
        advice = "Set another EMPIRIOLABS_API_KEY, and restart."
        return Finding(Check.ACCOUNT, "fail", f"the upstream refuses our key ({heard.status})", advice)
    if heard.status == _NO_CREDIT:
        return Finding(Check.ACCOUNT, "fail", "the account has no credit (402)", "Top it up.")
    if heard.status in _FINE:
        return Finding(Check.ACCOUNT, "ok", "the upstream takes our key")
    return Finding(Check.ACCOUNT, "warn", "not known: the upstream did not say", "Ask again when it answers.")


def _clocks(skew: int | None) -> Finding:
    if skew is None:
        return Finding(Check.CLOCK, "warn", "not compared: the upstream told no time", "Ask again when it answers.")
    if abs(skew) <= _ODD:
        return Finding(Check.CLOCK, "ok", "agrees with the upstream's")
    found = f"{abs(skew) / 1000:,.0f} s {'ahead of' if skew > 0 else 'behind'} the upstream's"
    advice = "Synchronise it (NTP): budget windows and URLs go by it."
    return Finding(Check.CLOCK, "fail" if abs(skew) > _WRONG else "warn", found, advice)
