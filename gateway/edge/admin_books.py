"""Of /admin/v1: what was spent, the ledger that says so, its corrections, and the providers' own prices."""

from decimal import Decimal
from typing import Any

from litestar import Request, Response, get, post
from litestar.di import NamedDependency

from gateway.core.sheet import csv_text
from gateway.edge.admin_answers import AdjustmentShape, Drift, LedgerShape, Listing, RateShape, SpendReport
from gateway.edge.admin_asks import LedgerQuery, NewAdjustment, SpendQuery
from gateway.pipeline.adjusting import Wanted
from gateway.pipeline.administration import Administration

_Call = Request[Any, Any, Any]


@get("/spend")
async def report_spend(
    request: _Call, administration: NamedDependency[Administration]
) -> Response[SpendReport] | Response[str]:
    asked = SpendQuery.from_query(request.query_params)
    report = SpendReport.of(await administration.spend(asked.by, asked.since_ms))
    if asked.format == "csv":
        cells = ((row.group, row.images, row.microdollars, Decimal(row.dollars)) for row in report.data)
        return Response(csv_text([asked.by, "images", "microdollars", "dollars"], cells), media_type="text/csv")
    return Response(report)


@post("/spend/adjustments")
async def adjust_spend(request: _Call, administration: NamedDependency[Administration]) -> AdjustmentShape:
    asked = NewAdjustment.from_json(await request.body())
    wanted = Wanted(asked.amount, asked.reason, asked.day, asked.id)
    return AdjustmentShape.of(await administration.adjust(asked.key, wanted))


@get("/ledger")
async def list_ledger(request: _Call, administration: NamedDependency[Administration]) -> Listing[LedgerShape]:
    asked = LedgerQuery.from_query(request.query_params)
    return Listing([LedgerShape.of(row) for row in await administration.ledger(asked.limit, asked.after)])


@get("/drift")
async def show_drift(administration: NamedDependency[Administration]) -> Drift:
    return Drift(await administration.drift())


@get("/rate-card")
async def list_rates(administration: NamedDependency[Administration]) -> Listing[RateShape]:
    return Listing([RateShape.of(rate) for rate in administration.rates()])
