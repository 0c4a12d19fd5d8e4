"""The collapsed row at the foot of the Overview: the store, the event loop, the process, the scrape."""

from grafana_foundation_sdk.builders.dashboard import Row

from boards.panel_kinds import Column, Said, curves, rows
from boards.promql import JOB, RATE, quantile, rate, series, summed, told


def inside() -> Row:
    row = Row("Inside").collapsed(collapsed=True)
    row.with_panel(
        curves(
            Said(
                "The store, p99 by operation",
                "The slowest eight. SQLite waits for the disk, Redis for the network.",
                "s",
            ),
            ("{{op}}", f"topk(8, {quantile(0.99, 'store_operation_duration_seconds', by='op')})"),
        ).span(6)
    )
    row.with_panel(
        curves(
            Said(
                "Errors of the store",
                "Not 0: requests are answered 503 meanwhile; `imagegate doctor` tells more.",
                "ops",
            ),
            ("{{op}}", f"{rate('store_errors_total', by='op')} > 0"),
        ).span(6)
    )
    row.with_panel(
        curves(
            Said(
                "The event loop's lag, p99", "Above 0.1 s every request of that replica waits: one more replica.", "s"
            ),
            ("{{instance}}", quantile(0.99, "event_loop_lag_seconds", by="instance")),
        ).span(6)
    )
    row.with_panel(
        curves(
            Said(
                "The ledger's drift",
                "Counters less ledger. Not 0: believe the ledger, keep a backup, and report it.",
                "currencyUSD",
            ),
            ("drift", told("ledger_drift_dollars")),
        ).span(6)
    )
    row.with_panel(
        curves(
            Said("Processor", "Cores in use. A replica uses one at most, and its pictures a second.", "short", 2),
            ("{{instance}}", f"sum by (instance) (rate(process_cpu_seconds_total{{{JOB}}}[{RATE}]))"),
        ).span(6)
    )
    row.with_panel(
        curves(
            Said("Memory", "Resident. It levels off within the hour; steady growth is a defect.", "bytes"),
            ("{{instance}}", f"sum by (instance) (process_resident_memory_bytes{{{JOB}}})"),
        ).span(6)
    )
    row.with_panel(
        curves(
            Said("The scrape", "Seconds that Prometheus waits for /metrics; more than 0.2: too many series.", "s"),
            ("{{instance}}", f"max by (instance) (scrape_duration_seconds{{{JOB}}})"),
        ).span(6)
    )
    row.with_panel(
        curves(
            Said("Series", "Of each replica; bounded by teams, keys and models. The aim is below 3,000."),
            ("{{instance}}", f"max by (instance) (scrape_samples_post_metric_relabeling{{{JOB}}})"),
        ).span(6)
    )
    row.with_panel(
        rows(
            Said("Versions and policies", "More than one row: the replicas differ, as during a rolling restart."),
            {"version": "Version", "digest": "Policies"},
            Column("Replicas, by version", summed(series("build_info"), "version")),
            Column("Replicas, by policies", summed(series("policies_info"), "digest")),
        ).span(12)
    )
    return row.with_panel(
        curves(
            Said(
                "Policies reloaded",
                "0: a replica refused the newest files and goes on with the ones before; its log says why.",
            ),
            ("{{instance}}", f"min by (instance) ({series('policies_last_reload_successful')})"),
        ).span(12)
    )
