"""Spend: who spends what, what is left, and what should cost nothing and does."""

from grafana_foundation_sdk.builders.dashboard import Dashboard, Row
from grafana_foundation_sdk.models.common import GraphDrawStyle

from boards.frame import framed
from boards.panel_kinds import GREEN, ORANGE, RED, Column, Said, Steps, bars, curves, number, prose, rows
from boards.promql import MODEL, TEAM, added, alike, rate, told

_LEDGER = """**The ledger is the bill**: `imagegate spend`, or `spend --csv`. What is drawn here are counters: they lose what
happens between the last scrape and a crash, and a correction by `spend adjust` never reaches them. Use this page to see where
money goes and how fast, and the ledger for who owes how much."""
_USED: Steps = ((None, GREEN), (0.8, ORANGE), (0.95, RED))
_ANY: Steps = ((None, GREEN), (1e-9, ORANGE))
_BUDGET = "scope, id, window"
_TEAMS = 'scope="team"'
_MADE = 'source!="cache"'


def board() -> Dashboard:
    made = framed("Spend", "Who spends what, what is left of it, and how long that lasts.", since="7d", refresh="5m")
    made.with_panel(prose("", _LEDGER))
    for each in (_now, _budgets, _spent, _leaks):
        each(made)
    return made


def left(*matchers: str) -> str:
    """Of each budget, what neither was spent nor is held."""
    limit, spent, held = (
        told(f"budget_{part}_dollars", *matchers, by=_BUDGET) for part in ("limit", "spent", "reserved")
    )
    return f"({limit} - {spent} - {held})"


def used(*matchers: str) -> str:
    """Of each budget, the share that was spent or is held."""
    limit, spent, held = (
        told(f"budget_{part}_dollars", *matchers, by=_BUDGET) for part in ("limit", "spent", "reserved")
    )
    return f"({spent} + {held}) / {limit}"


def days_left(scope: str) -> str:
    """Until a budget is used up at the last day's pace; none for who spent nothing."""
    whole = added("cost_dollars_total", over="1d")
    teams, keys = (added(f"{kind}cost_dollars_total", by=by, over="1d") for kind, by in (("", "team"), ("key_", "key")))
    day, on = {
        "org": (whole, ""),
        "team": (f'label_replace({teams}, "id", "$1", "team", "(.+)")', "id"),
        "key": (f'label_replace({keys}, "id", "$1", "key", "(.+)")', "id"),
    }[scope]
    matcher = f'scope="{scope}"'
    return f"{left(matcher)} / on ({on}) group_left () ({day} > 0)"


def _now(board: Dashboard) -> None:
    board.with_panel(
        number(
            Said("Spent", "In the time shown, by the counters.", "currencyUSD", 2),
            added("cost_dollars_total", MODEL, TEAM),
        )
    )
    board.with_panel(
        number(
            Said("Dollars an hour", "At the present pace.", "currencyUSD", 2),
            f"{rate('cost_dollars_total', MODEL, TEAM)} * 3600",
        )
    )
    images = added("images_total", MODEL, TEAM, _MADE)
    board.with_panel(
        number(
            Said("Dollars an image", "Of those that were made in the time shown; a worker's cost 0.", "currencyUSD", 4),
            f"{added('cost_dollars_total', MODEL, TEAM)} / {images}",
        )
    )
    board.with_panel(
        number(
            Said("Saved", "What pictures found made would have cost, in the time shown.", "currencyUSD", 2),
            added("cache_saved_dollars_total", MODEL),
        )
    )
    board.with_panel(
        number(
            Said(
                "Held",
                "By what runs or is unconfirmed, of teams that have a budget. When nothing does, it falls back to 0.",
                "currencyUSD",
                2,
            ),
            f"sum({told('budget_reserved_dollars', _TEAMS, by='id')})",
        )
    )
    board.with_panel(
        number(
            Said(
                "Unconfirmed",
                "Submits whose answer was lost: charged 65 minutes later unless policies/gateway.toml says otherwise."
                " `imagegate jobs list --status unconfirmed` shows them, `imagegate jobs resolve` ends one.",
                "currencyUSD",
                4,
            ),
            told("unconfirmed_dollars"),
            _ANY,
        )
    )
    board.with_panel(
        number(
            Said(
                "Unconfirmed jobs",
                "As many of them. They grow: the provider loses answers; see Errors at the providers.",
            ),
            told("unconfirmed_jobs"),
            _ANY,
        )
    )
    board.with_panel(
        number(
            Said(
                "Prices that differ",
                "Models whose provider asks another price than the policy says. Not 0: correct price in policies/models.",
            ),
            f"count({told('rate_card_drift', MODEL, by='model')} != 0) or vector(0)",
            _ANY,
        )
    )


def _budgets(board: Dashboard) -> None:
    board.with_row(Row("Budgets"))
    board.with_panel(
        bars(
            Said(
                "Used of each team's budgets",
                "Spent and held. At 1 the team's orders are refused until its window ends: `imagegate budgets set`.",
                "percentunit",
            ),
            "{{id}} · {{window}}",
            used(_TEAMS, 'id=~"$team"'),
            _USED,
        )
    )
    days = " or ".join(alike(days_left(scope), _BUDGET) for scope in ("org", "team", "key"))
    board.with_panel(
        rows(
            Said(
                "Budgets",
                "Days: until nothing is left at the pace of the last day. It matters where the window ends later than"
                " that; below 1 tell the team, or give it more.",
            ),
            {"scope": "Scope", "id": "Of", "window": "Window"},
            Column("Limit", told("budget_limit_dollars", by=_BUDGET), "currencyUSD"),
            Column("Spent", told("budget_spent_dollars", by=_BUDGET), "currencyUSD"),
            Column("Held", told("budget_reserved_dollars", by=_BUDGET), "currencyUSD"),
            Column("Used", used(), "percentunit", _USED),
            Column("Days", days, "short", ((None, RED), (1, ORANGE), (3, GREEN))),
            by="Used",
        ).span(16)
    )
    board.with_panel(
        curves(
            Said(
                "Days to exhaustion",
                "Of the teams' budgets, at the pace of the day before; 60 is that or more. Falling: somebody spends more.",
            ),
            ("{{id}} · {{window}}", f"clamp_max({alike(days_left('team'), 'id, window')}, 60)"),
        ).span(12)
    )
    refused = rate("rejections_total", TEAM, 'reason=~"insufficient_quota|budget_reserved"', by="team, reason")
    board.with_panel(
        curves(
            Said(
                "Refused for want of money",
                "insufficient_quota: spent. budget_reserved: only held by running jobs; a larger budget or fewer at once.",
                "reqps",
            ),
            ("{{team}} {{reason}}", f"{refused} > 0"),
            stacked=True,
        ).span(12)
    )


def _spent(board: Dashboard) -> None:
    board.with_row(Row("Who spends"))
    daily = curves(
        Said("Spent a day, by team", "Each bar is the day that ends there, in UTC.", "currencyUSD"),
        ("{{team}}", added("cost_dollars_total", MODEL, TEAM, by="team", over="1d")),
        stacked=True,
    )
    board.with_panel(daily.draw_style(GraphDrawStyle.BARS).interval("1d").span(12))
    board.with_panel(
        curves(
            Said(
                "Dollars an hour, by team",
                "A leap that nobody ordered: `imagegate spend --by key`, and `imagegate keys set` or `imagegate keys revoke`.",
                "currencyUSD",
            ),
            ("{{team}}", f"{rate('cost_dollars_total', MODEL, TEAM, by='team')} * 3600 > 0"),
            stacked=True,
        ).span(12)
    )
    cost = added("cost_dollars_total", MODEL, TEAM, by="model")
    made = added("images_total", MODEL, TEAM, _MADE, by="model")
    board.with_panel(
        rows(
            Said("Models", "In the time shown."),
            {"model": "Model"},
            Column("Spent", cost, "currencyUSD"),
            Column("Images", made),
            Column("An image", f"{cost} / {made}", "currencyUSD"),
            Column("Saved", added("cache_saved_dollars_total", MODEL, by="model"), "currencyUSD"),
            by="Spent",
        )
        .span(12)
        .height(6)
    )
    board.with_panel(
        rows(
            Said("Keys that spend most", "The first ten in the time shown; keys beyond 200 share the name other."),
            {"team": "Team", "key": "Key"},
            Column("Spent", f"topk(10, {added('key_cost_dollars_total', TEAM, by='team, key')} > 0)", "currencyUSD"),
            by="Spent",
        )
        .span(12)
        .height(6)
    )


def _leaks(board: Dashboard) -> None:
    board.with_row(Row("What costs nothing, and what should"))
    spent, saved = rate("cost_dollars_total", MODEL, by="model"), rate("cache_saved_dollars_total", MODEL, by="model")
    board.with_panel(
        curves(
            Said(
                "Saved of what it would have cost",
                "Cached and joined pictures. Clients that send no seed save nothing.",
                "percentunit",
            ),
            ("{{model}}", f"{saved} / ({saved} + {spent})"),
        )
    )
    board.with_panel(
        curves(
            Said("Images by where they came from", "cache and workers cost nothing.", "short"),
            ("{{source}}", f"{rate('images_total', MODEL, TEAM, by='source')} * 60"),
            stacked=True,
        )
    )
    board.with_panel(
        rows(
            Said(
                "Made by a provider and not priced",
                "Models of which images were bought in the time shown and booked at nothing: their price in"
                " policies/models is 0.",
            ),
            {"model": "Model"},
            Column("Images", f"{added('unpriced_images_total', MODEL, by='model')} > 0", "short", _ANY),
        )
    )
    board.with_panel(
        curves(
            Said(
                "The provider's price less the policy's",
                "Dollars an image. Not 0: correct price in policies/models, and reload.",
                "currencyUSD",
            ),
            ("{{model}}", told("rate_card_drift", MODEL, by="model")),
        ).span(12)
    )
    board.with_panel(
        curves(
            Said("Unconfirmed over time", "Dollars that may be owed.", "currencyUSD"),
            ("unconfirmed", told("unconfirmed_dollars")),
        ).span(12)
    )
