"""Workers: are the GPUs up, kept busy, and quick enough for the queue."""

from grafana_foundation_sdk.builders.dashboard import Dashboard, Row

from boards.frame import framed
from boards.panel_kinds import (
    BLUE,
    GREEN,
    GREY,
    ORANGE,
    RED,
    YELLOW,
    Column,
    Said,
    coloured,
    curves,
    heated,
    number,
    rows,
)
from boards.promql import MODEL, RATE, SHOWN, alike, mean, quantile, rate, series, summed, told, told_rate

_STATES = {"busy": GREEN, "idle": BLUE, "draining": YELLOW, "missing": RED}
_MISSING = 'state="missing"'
# Replicas look at different moments: of one worker, one may say busy and another idle. What each counts is added up first.
_LIVE = 'state=~"idle|busy|draining"'


def board() -> Dashboard:
    made = framed("Workers", "Are the GPUs up, kept busy, and quick enough for the queue.", since="3h", refresh="30s")
    for each in (_now, _queue, _making, _gpus):
        each(made)
    return made


def _now(board: Dashboard) -> None:
    board.with_panel(
        number(
            Said("Workers up", "Idle, busy or draining. 0: orders go to the next leg of their route, or wait."),
            alike(summed(series("workers", MODEL, _LIVE), "instance")),
            ((None, RED), (1, GREEN)),
        )
    )
    board.with_panel(
        number(
            Said("Missing", "Fell silent without a word in the last quarter of an hour: look at that machine."),
            alike(summed(series("workers", MODEL, _MISSING), "instance")),
            ((None, GREEN), (1, RED)),
        )
    )
    board.with_panel(
        number(
            Said("Busy", "Share of the time that GPUs compute. Above 0.9 for long: one more worker.", "percentunit"),
            f"avg({told_rate('worker_busy_seconds_total', by='worker')})",
            ((None, BLUE), (0.9, ORANGE)),
        )
    )
    board.with_panel(
        number(
            Said("Waiting", "Pieces of orders that no worker has claimed."),
            f"sum({told('queue_depth', MODEL, by='model')})",
        )
    )
    board.with_panel(
        number(
            Said("Oldest waits", "Above wait_below of the route, new orders spill to the next leg.", "s"),
            told("queue_oldest_age_seconds", MODEL),
            ((None, GREEN), (10, ORANGE), (60, RED)),
        )
    )
    board.with_panel(
        number(
            Said("Images a minute", "Of all workers together.", "short", 1),
            f"{rate('worker_batch_size_sum', MODEL)} * 60",
        )
    )
    board.with_panel(
        number(
            Said("A call, p95", "Of one call of the engine, which may make several pictures.", "s"),
            quantile(0.95, "worker_generation_seconds", MODEL),
        )
    )
    oom = alike(f"increase({series('worker_oom_total')}[{SHOWN}])", "worker")
    board.with_panel(
        number(
            Said(
                "Out of memory", "Calls that the GPU had no memory for, in the time shown: smaller batches or pictures."
            ),
            f"sum({oom})",
            ((None, GREEN), (1, RED)),
        )
    )


def _queue(board: Dashboard) -> None:
    board.with_row(Row("Queue"))
    board.with_panel(
        curves(
            Said("Waiting pieces", "Grows and does not fall: more comes in than the workers make."),
            ("{{model}}", told("queue_depth", MODEL, by="model")),
            stacked=True,
        )
    )
    board.with_panel(
        curves(
            Said("How long the oldest waits", "0 while none waits. Grows by a second a second: nobody claims.", "s"),
            ("{{model}}", told("queue_oldest_age_seconds", MODEL, by="model")),
        )
    )
    legs = rate("route_legs_total", MODEL, by="provider, decision")
    board.with_panel(
        curves(
            Said(
                "Ways that orders took",
                "taken, or why a leg was passed over. Much passed at workers: the queue spills.",
                "reqps",
            ),
            ("{{provider}} {{decision}}", f"{legs} > 0"),
            stacked=True,
        )
    )


def _making(board: Dashboard) -> None:
    board.with_row(Row("Making"))
    states = curves(
        Said("Workers by state", "missing: fell silent without draining, told for 15 minutes."),
        ("{{state}}", f"avg by (state) ({summed(series('workers', MODEL), 'instance, state')})"),
        stacked=True,
    )
    board.with_panel(coloured(states, _STATES))
    board.with_panel(
        curves(
            Said(
                "Seconds a call of the engine",
                "A leap after a restart of the worker: another model, driver or GPU.",
                "s",
            ),
            ("{{model}} p50", quantile(0.5, "worker_generation_seconds", MODEL, by="model")),
            ("{{model}} p95", quantile(0.95, "worker_generation_seconds", MODEL, by="model")),
        )
    )
    sizes = f"sum by (le) (increase({series('worker_batch_size_bucket', MODEL)}[{RATE}]))"
    board.with_panel(
        heated(Said("Images in a call", "Batches: 1 alone while many wait means that sizes differ."), sizes)
    )
    board.with_panel(
        curves(
            Said("Images in a call, mean", "More a call is cheaper a picture, and later for the first."),
            ("{{model}}", mean("worker_batch_size", MODEL, by="model")),
        )
    )
    board.with_panel(
        curves(
            Said("Images a minute by worker", "One far below its equals: heat, a slower GPU, or somebody else on it."),
            ("{{worker}}", f"{told_rate('worker_images_total', by='worker')} * 60"),
            stacked=True,
        )
    )
    board.with_panel(
        curves(
            Said("Busy by worker", "Share of the time that its GPU computes.", "percentunit"),
            ("{{worker}}", told_rate("worker_busy_seconds_total", by="worker")),
        )
    )


def _gpus(board: Dashboard) -> None:
    board.with_row(Row("GPUs"))
    used, reserved, total = (
        told("worker_gpu_memory_bytes", f'kind="{kind}"', by="worker") for kind in ("used", "reserved", "total")
    )
    board.with_panel(
        curves(
            Said("Memory in use", "Share of the GPU's; reserved is what torch keeps for later.", "percentunit"),
            ("{{worker}} used", f"{used} / {total}"),
            ("{{worker}} reserved", f"{reserved} / {total}"),
            most=0.95,
        )
    )
    oom = alike(f"increase({series('worker_oom_total')}[{SHOWN}])", "worker")
    images = alike(f"increase({series('worker_images_total')}[{SHOWN}])", "worker")
    board.with_panel(
        rows(
            Said("Workers", "In the time shown; a worker that is gone has no row."),
            {"worker": "Worker"},
            Column("Images", images),
            Column("Busy", told_rate("worker_busy_seconds_total", by="worker"), "percentunit"),
            Column("Used", used, "bytes"),
            Column("Of", total, "bytes"),
            Column("Out of memory", oom, "short", ((None, GREY), (1, RED))),
            Column("Loaded in", told("worker_load_seconds", by="worker"), "s"),
            by="Images",
        ).span(16)
    )
