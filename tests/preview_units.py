"""Numbers as Grafana writes them: by a unit's name, short enough for an axis."""

from collections.abc import Sequence

_THOUSANDS = ((1e12, "T"), (1e9, "G"), (1e6, "M"), (1e3, "K"))
_BYTES = ((2.0**40, "TiB"), (2.0**30, "GiB"), (2.0**20, "MiB"), (2.0**10, "KiB"))
_TIMES = ((86400.0, "d"), (3600.0, "h"), (60.0, "min"), (1.0, "s"), (1e-3, "ms"), (1e-6, "µs"))
_PLAIN_FROM = 10_000


def written(value: float, unit: str, decimals: int | None = None) -> str:
    if unit == "percentunit":
        return f"{_digits(value * 100, decimals)}%"
    if unit == "currencyUSD":
        return f"${_digits(value, decimals)}"
    if unit == "bytes":
        return _scaled(value, _BYTES, decimals, " B")
    if unit == "s":
        return "0 s" if value == 0 else _scaled(value, _TIMES, decimals, " s")
    named = {"reqps": " req/s", "ops": " ops/s"}.get(unit, "")
    if abs(value) < _PLAIN_FROM:
        return _digits(value, decimals) + named
    return _scaled(value, _THOUSANDS, decimals, "").replace(" ", "") + named


def round_steps(most: float, about: int = 4) -> Sequence[float]:
    """Round values from 0 on, the last of them not below `most`."""
    if most <= 0:
        return (0.0, 1.0)
    rough = most / about
    power = 10.0 ** len(f"{int(rough)}") / 10 if rough >= 1 else 10.0 ** _exponent(rough)
    step = next(step * power for step in (1, 2, 2.5, 5, 10) if step * power >= rough * 0.999)
    return tuple(round(number * step, 12) for number in range(int(most / step - 1e-9) + 2))


def _exponent(value: float) -> int:
    return int(f"{value:e}".partition("e")[2])


def _scaled(value: float, scales: Sequence[tuple[float, str]], decimals: int | None, plain: str) -> str:
    for size, name in scales:
        if abs(value) >= size * 0.9995:
            return f"{_digits(value / size, decimals)} {name}"
    return f"{_digits(value, decimals)}{plain}"


def _digits(value: float, decimals: int | None) -> str:
    """Three digits that count, unless told otherwise; no zeros behind them."""
    if decimals is None:
        places = 0 if abs(value) >= 100 else 1 if abs(value) >= 10 else 2 if abs(value) >= 0.1 else 4
        text = f"{value:.{places}f}"
        return (text.rstrip("0").rstrip(".") if "." in text else text) or "0"
    return f"{value:.{decimals}f}"
