"""Each dashboard as the text of its file."""

import json

from grafana_foundation_sdk.cog.encoder import JSONEncoder

from boards import overview, spend, workers

WRITTEN = {"overview": overview.board, "spend": spend.board, "workers": workers.board}


def text(name: str) -> str:
    """The same text for the same code, so that a test can compare it with what is committed."""
    board = json.dumps(WRITTEN[name]().build(), cls=JSONEncoder)
    return json.dumps(json.loads(board), indent=2, sort_keys=True, ensure_ascii=False) + "\n"
