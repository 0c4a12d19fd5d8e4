"""Money in integer micro-dollars, and the calendar windows (UTC) that budgets are counted in."""

import datetime as dt
import re
from collections.abc import Mapping
from dataclasses import dataclass
from decimal import ROUND_CEILING, Decimal
from functools import lru_cache
from typing import Literal, get_args

Window = Literal["day", "week", "month", "total"]
WINDOWS: tuple[Window, ...] = get_args(Window)

#: Who has budgets, widest first: the whole installation, a team, a key.
LEVELS = ("org", "team", "key")

MICROS = 1_000_000
#: A billion dollars; keeps every sum far inside SQLite's 64-bit integers and a Lua double's 2^53.
MOST = 1_000_000_000 * MICROS

#: ms
_DAY = 86_400_000
_AMOUNT = re.compile(r"[0-9]{1,10}(\.[0-9]{1,6})?")


def payers(key_id: str, team: str) -> tuple[str, str, str]:
    """The scopes in which a key's order is paid for, widest first."""
    return "org", f"team:{team}", f"key:{key_id}"


def micros(dollars: Decimal) -> int:
    """Dollars to micro-dollars, rounded up: a price is never charged below what it is."""
    return int((dollars * MICROS).to_integral_value(rounding=ROUND_CEILING))


def dollars(amount: int) -> str:
    """Micro-dollars as a plain decimal: `0.0085`, `10`, `-1.5`."""
    sign = "-" if amount < 0 else ""
    whole, part = divmod(abs(amount), MICROS)
    return f"{sign}{whole}" + (f".{part:06}".rstrip("0") if part else "")


def parse_amount(text: str) -> int:
    """Read dollars, such as `25`, `1.50` or `-0.0085`, as micro-dollars.

    Raises ValueError with a sentence for the person who typed it.
    """
    sign, digits = (-1, text[1:]) if text.startswith("-") else (1, text)
    if not _AMOUNT.fullmatch(digits):
        raise ValueError(f"{text!r} is no amount: dollars with at most six decimals, such as 25 or 1.50")
    amount = sign * micros(Decimal(digits))
    if abs(amount) > MOST:
        raise ValueError(f"{text} is more than any amount may be ({dollars(MOST)})")
    return amount


@dataclass(frozen=True, slots=True)
class Budget:
    """`limit` micro-dollars in each `window`."""

    window: Window
    limit: int


def parse_budget(text: str) -> Budget:
    """Read `AMOUNT/WINDOW`, such as `25/month` or `1.50/day`.

    Raises ValueError with a sentence for the person who typed it.
    """
    amount, slash, window = text.strip().partition("/")
    if not slash or window not in WINDOWS:
        raise ValueError(f"{text!r} is no budget: write AMOUNT/WINDOW with a window of {', '.join(WINDOWS)}")
    if amount.startswith("-"):
        raise ValueError(f"{amount!r} is no budget: it cannot be less than nothing")
    return Budget(window, parse_amount(amount))


def period(window: Window, at: int) -> str:
    """The name of the window that the instant `at` (ms since the epoch) lies in: `2026-11-22`, `2026-W47`, `2026-11`, ``.

    A new window is a new name and so a new row: nothing is ever reset.
    """
    return _windows_of(at // _DAY)[window][0]


def resets_at(window: Window, at: int) -> int | None:
    """When the window that `at` lies in ends, in ms since the epoch; None for a total."""
    return _windows_of(at // _DAY)[window][1]


@lru_cache(maxsize=64)
def _windows_of(day: int) -> Mapping[Window, tuple[str, int | None]]:
    """The windows that a day lies in, by its number: what they are called and when they end. Worked out once a day, since
    calendars are slow and every order asks for a dozen."""
    today = dt.datetime.fromtimestamp(day * _DAY // 1000, tz=dt.UTC)
    year, week, _ = today.isocalendar()
    next_month = (today.replace(day=1) + dt.timedelta(days=32)).replace(day=1)
    return {
        "day": (f"{today:%Y-%m-%d}", _ms(today + dt.timedelta(days=1))),
        "week": (f"{year}-W{week:02}", _ms(today + dt.timedelta(days=7 - today.weekday()))),
        "month": (f"{today:%Y-%m}", _ms(next_month)),
        "total": ("", None),
    }


def _ms(instant: dt.datetime) -> int:
    return int(instant.timestamp()) * 1000
