"""Overview: is it well, where does the time go, and whose fault is it."""

from grafana_foundation_sdk.builders.dashboard import Dashboard, Row

from boards.frame import framed
from boards.overview_inside import inside
from boards.panel_kinds import (
    GREEN,
    GREY,
    ORANGE,
    RED,
    YELLOW,
    Column,
    Said,
    coloured,
    curves,
    exemplary,
    heated,
    number,
    rows,
)
from boards.promql import IMAGES, JOB, MODEL, RATE, TEAM, added, mean, quantile, rate, series, summed, told

_OUTCOMES = {"ok": GREEN, "refused": YELLOW, "failed": RED, "left": GREY}
#: of the phases of a request: the gateway's own cool, the queue's and the provider's warm
_PHASES = {
    "admit": "#5794F2",
    "reserve": "#8AB8FF",
    "queue": "#B877D9",
    "submit": "#FFCB7D",
    "wait": "#FF9830",
    "keep": "#73BF69",
    "settle": "#37872D",
    "answer": "#C0D8FF",
}


def board() -> Dashboard:
    made = framed("Overview", "Is it well, where does the time go, and whose fault is it.", since="3h", refresh="30s")
    for each in (_now, _requests, _time, _providers, _refusals):
        each(made)
    return made.with_row(inside())


def _now(board: Dashboard) -> None:
    failed = added("requests_total", IMAGES, MODEL, 'code=~"5.."')
    asked = added("requests_total", IMAGES, MODEL, 'code!="499"')
    board.with_panel(
        number(
            Said(
                "Success",
                "Requests for images that did not end in a 5xx, over the time shown. Low: look at Errors at the"
                " providers, then at Refused requests for no_capacity.",
                "percentunit",
                2,
            ),
            f"1 - {failed} / {asked}",
            ((None, RED), (0.95, ORANGE), (0.99, GREEN)),
        )
    )
    board.with_panel(
        number(
            Said("Requests", "Requests for images a second, whatever became of them.", "reqps"),
            rate("requests_total", IMAGES, MODEL),
        )
    )
    board.with_panel(
        number(
            Said("To answer, p95", "Of those answered with pictures. High: see Where the time goes.", "s"),
            quantile(0.95, "request_duration_seconds", IMAGES, 'outcome="ok"'),
        )
    )
    board.with_panel(
        number(
            Said(
                "Own time, p99",
                "What a request took beside waiting for a provider. High: see Inside for the store and the event loop.",
                "s",
            ),
            quantile(0.99, "overhead_seconds", IMAGES),
            ((None, GREEN), (0.1, ORANGE), (0.25, RED)),
        )
    )
    board.with_panel(
        number(
            Said("Images an hour", "Delivered, bought or found made, at the present pace."),
            f"{rate('images_total', MODEL, TEAM)} * 3600",
        )
    )
    board.with_panel(
        number(
            Said("Dollars an hour", "At the present pace. The ledger is the bill: see Spend.", "currencyUSD", 2),
            f"{rate('cost_dollars_total', MODEL, TEAM)} * 3600",
        )
    )
    board.with_panel(number(Said("In flight", "Jobs that providers are making now."), summed(series("jobs_in_flight"))))
    board.with_panel(
        number(
            Said("Replicas", "Those that Prometheus reaches. 0: nobody serves, or Prometheus may not read /metrics."),
            f"sum(up{{{JOB}}})",
            ((None, RED), (1, GREEN)),
        )
    )


def _requests(board: Dashboard) -> None:
    board.with_row(Row("Requests"))
    counted = rate("request_duration_seconds_count", IMAGES, by="outcome")
    outcomes = curves(
        Said(
            "Requests by outcome",
            "failed: a 5xx, ours or a provider's. refused: a 4xx, such as a spent budget. left: the client did not wait.",
            "reqps",
        ),
        ("{{outcome}}", counted),
        stacked=True,
    )
    board.with_panel(coloured(outcomes, _OUTCOMES))
    shown = f"sum by (le) (increase({series('request_duration_seconds_bucket', IMAGES)}[{RATE}]))"
    board.with_panel(
        heated(
            Said("Time to answer", "Two bands: pictures found made, and pictures made. A third one is news.", "s"),
            shown,
        )
    )
    answered = ("request_duration_seconds", IMAGES, 'outcome="ok"')
    percentiles = curves(
        Said("Time to answer, percentiles", "Of those answered with pictures; points are single requests.", "s"),
        ("p50", quantile(0.5, *answered)),
        ("p95", quantile(0.95, *answered)),
    )
    board.with_panel(exemplary(percentiles, "p99", quantile(0.99, *answered)))


def _time(board: Dashboard) -> None:
    board.with_row(Row("Where the time goes"))
    asked = rate("request_duration_seconds_count", IMAGES)
    phases = curves(
        Said(
            "A request's time by phase, mean",
            "Seconds a request. wait is the provider's, queue is for its allowance or for a worker: more workers, or a"
            " higher allowance, help there. The rest is ours and stays in milliseconds.",
            "s",
        ),
        ("{{phase}}", f"{rate('phase_duration_seconds_sum', by='phase')} / on () group_left () {asked}"),
        stacked=True,
    )
    board.with_panel(coloured(phases, _PHASES))
    board.with_panel(
        curves(
            Said(
                "Waited longer than the job took",
                "Seconds between a job's end at the provider and our collecting it; the aim is 0.17. High: the allowance"
                " is short, and polls wait for it.",
                "s",
            ),
            ("{{provider}} p50", quantile(0.5, "job_excess_wait_seconds", by="provider")),
            ("{{provider}} p95", quantile(0.95, "job_excess_wait_seconds", by="provider")),
        )
    )
    board.with_panel(
        curves(
            Said(
                "Polls a job",
                "At EmpirioLabs each costs one of the account's requests a minute: above 3, durations are not learned. At"
                " workers it is a look into the queue, and costs nothing.",
            ),
            ("{{provider}} mean", mean("job_polls", by="provider")),
            ("{{provider}} p95", quantile(0.95, "job_polls", by="provider")),
        )
    )


def _providers(board: Dashboard) -> None:
    board.with_row(Row("Providers"))
    states = Column("Replicas", f"{summed(series('upstream_circuit_state'), 'provider, state')} > 0")
    board.with_panel(
        rows(
            Said(
                "Circuits",
                "How many replicas see it so. open: nothing is sent there for a while, since it fails, refuses our key or"
                " wants credit: `imagegate doctor` tells which.",
            ),
            {"provider": "Circuit", "state": "State"},
            states,
        ).span(6)
    )
    errors = rate("upstream_requests_total", 'code!~"2.."', by="provider, op, code")
    board.with_panel(
        curves(
            Said(
                "Errors at the providers",
                "429: the allowance is spent. 401, 402, 403: key or credit. 5xx: theirs.",
                "reqps",
            ),
            ("{{provider}} {{op}} {{code}}", f"{errors} > 0"),
        ).span(9)
    )
    board.with_panel(
        curves(
            Said("Requests to the providers", "A minute; for EmpirioLabs the account's allowance is 50 of them."),
            ("{{provider}} {{op}}", f"{rate('upstream_requests_total', by='provider, op')} * 60 > 0"),
            stacked=True,
        ).span(9)
    )
    board.with_panel(
        curves(
            Said("Allowance left", "Requests left in the account's minute. At 0 orders wait, and then are refused."),
            ("{{provider}}", told("upstream_allowance_remaining", by="provider")),
        ).span(6)
    )
    board.with_panel(
        curves(
            Said("In flight by provider", "Jobs being made, over all replicas."),
            ("{{provider}}", summed(series("jobs_in_flight"), "provider")),
            stacked=True,
        ).span(6)
    )
    ended = rate("jobs_total", MODEL, by="provider, outcome")
    board.with_panel(
        curves(
            Said(
                "Jobs by how they ended",
                "upstream_unconfirmed may have been bought: `imagegate jobs list --status unconfirmed`.",
            ),
            ("{{provider}} {{outcome}}", f"{ended} * 60 > 0"),
            stacked=True,
        ).span(6)
    )
    board.with_panel(
        curves(
            Said(
                "Oldest job not collected",
                "The provider forgets a finished job after an hour: above 50 minutes a picture that was paid for is lost.",
                "s",
            ),
            ("age", told("oldest_uncollected_job_age_seconds")),
            most=3000,
        ).span(6)
    )


def _refusals(board: Dashboard) -> None:
    board.with_row(Row("Refusals, cache, queue"))
    board.with_panel(
        curves(
            Said("Refused requests", "By reason, before anything was bought. insufficient_quota: see Spend.", "reqps"),
            ("{{reason}}", f"{rate('rejections_total', TEAM, by='reason')} > 0"),
            stacked=True,
        ).span(6)
    )
    board.with_panel(
        curves(
            Said("How orders came to their pictures", "hit, joined and replayed cost nothing.", "reqps"),
            ("{{result}}", rate("cache_requests_total", MODEL, by="result")),
            stacked=True,
        ).span(6)
    )
    free = rate("cache_requests_total", MODEL, 'result=~"hit|joined|replayed"')
    board.with_panel(
        curves(
            Said(
                "Share that cost nothing",
                "Of all orders. Only equal orders with a seed can be found made.",
                "percentunit",
            ),
            ("share", f"{free} / {rate('cache_requests_total', MODEL)}"),
        ).span(6)
    )
    board.with_panel(
        curves(
            Said("Waiting for a worker", "Pieces in the queue. It grows and does not fall: see Workers.", "short"),
            ("{{model}}", told("queue_depth", MODEL, by="model")),
        ).span(6)
    )
