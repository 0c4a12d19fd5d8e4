"""`make dashboards`: writes `dashboards/*.json` anew."""

from pathlib import Path

from boards.written import WRITTEN, text

FOLDER = Path(__file__).parents[1] / "dashboards"

for name in WRITTEN:
    (FOLDER / f"{name}.json").write_text(text(name))
