"""What the tour makes of answers and numbers."""

from collections import Counter

import pytest
from load_client import LEFT, Answers, Tally
from mixed_load import surprises
from tour_panels import written


@pytest.mark.parametrize(
    ("kind", "said", "surprising"),
    [
        ("miss", "200", False),
        ("miss", "502 upstream_error", False),
        ("miss", "500 internal_error", True),
        ("miss", LEFT, True),
        ("left", LEFT, False),
        ("unknown key", "401 invalid_api_key", False),
        ("unknown key", "200", True),
        ("quote", "502 upstream_error", True),
        ("broke", "429 insufficient_quota", False),
    ],
)
def test_an_answer_is_a_surprise_where_its_kind_has_another(kind: str, said: str, surprising: bool) -> None:
    tally = Tally({kind: Answers(asked=2, said=Counter({said: 2}))})
    assert surprises(tally) == (Counter({f"{kind}: {said}": 2}) if surprising else Counter())


@pytest.mark.parametrize(
    ("value", "unit", "text"),
    [
        (0.354, "percentunit", "35.4%"),
        (48.092, "currencyUSD", "$48.0920"),
        (2.56, "s", "2.6 s"),
        (0.0712, "s", "0.071 s"),
        (211_400_000, "bytes", "211 MB"),
        (21_820.4, "short", "21,820"),
        (2.0, "", "2"),
        (6.988, "reqps", "6.99 /s"),
    ],
)
def test_a_panel_has_its_value_as_a_person_reads_it(value: float, unit: str, text: str) -> None:
    assert written(value, unit) == text
