"""The trace that a request is a part of, as its client's tracing tells it (W3C Trace Context)."""

import re

from gateway.edge.head import Head

#: version, trace, span, flags; what later versions put behind them is theirs
_TRACEPARENT = re.compile(r"(?!ff)[0-9a-f]{2}-([0-9a-f]{32})-([0-9a-f]{16})-[0-9a-f]{2}(-.*)?")
_FIRST_VERSION = "00"


def trace_id(head: Head) -> str | None:
    """None where there is none, or it is not as the standard has it: then it is no trace's."""
    if "traceparent" not in head:
        return None
    given = head.every("traceparent")
    found = _TRACEPARENT.fullmatch(given[0]) if len(given) == 1 else None
    if found is None:
        return None
    trace, span, more = found.groups()
    if not (trace.strip("0") and span.strip("0")) or (more and given[0].startswith(_FIRST_VERSION)):
        return None
    return str(trace)
