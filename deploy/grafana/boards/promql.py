"""Questions to Prometheus, right for any number of replicas.

A counter is each replica's own: rates are added up. What every replica reads from the shared store (budgets, the queue,
unconfirmed money), or is told alike by a worker, is the same number in each: adding it up would count it once a replica.
"""

#: the handlers that make images; the rest (probes, jobs, files) has its own pace and would hide theirs
IMAGES = 'route=~"images[.].+"'
JOB = 'job="$job"'
MODEL = 'model=~"$model"'
TEAM = 'team=~"$team"'
RATE = "$__rate_interval"
SHOWN = "$__range"


def series(name: str, *matchers: str) -> str:
    """Of one installation: `job` is Prometheus' name for its replicas."""
    return f"imagegate_{name}{{{', '.join((JOB, *matchers))}}}"


def summed(expression: str, by: str = "") -> str:
    return f"sum by ({by}) ({expression})" if by else f"sum({expression})"


def alike(expression: str, by: str = "") -> str:
    """Of what each replica says alike."""
    return f"max by ({by}) ({expression})" if by else f"max({expression})"


def rate(name: str, *matchers: str, by: str = "") -> str:
    """A counter's pace, a second."""
    return summed(f"rate({series(name, *matchers)}[{RATE}])", by)


def added(name: str, *matchers: str, by: str = "", over: str = SHOWN) -> str:
    """By how much a counter grew, in the time shown unless `over` says otherwise."""
    return summed(f"increase({series(name, *matchers)}[{over}])", by)


def told(name: str, *matchers: str, by: str = "") -> str:
    """A gauge that all replicas tell alike."""
    return alike(series(name, *matchers), by)


def told_rate(name: str, *matchers: str, by: str = "") -> str:
    """The pace of a counter that all replicas tell alike."""
    return alike(f"rate({series(name, *matchers)}[{RATE}])", by)


def quantile(share: float, name: str, *matchers: str, by: str = "") -> str:
    """Of a histogram, over all replicas."""
    labels = f"{by}, le" if by else "le"
    return f"histogram_quantile({share:g}, {rate(f'{name}_bucket', *matchers, by=labels)})"


def mean(name: str, *matchers: str, by: str = "") -> str:
    """Of a histogram's observations."""
    return f"{rate(f'{name}_sum', *matchers, by=by)} / {rate(f'{name}_count', *matchers, by=by)}"
