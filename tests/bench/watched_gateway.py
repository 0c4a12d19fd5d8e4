"""`python watched_gateway.py FILE serve ...`: the gateway; at each SIGUSR1 it adds a line to FILE of what it holds."""

import asyncio
import gc
import json
import signal
import sys
from collections import Counter
from pathlib import Path

from gateway.cli.main import main


def held() -> dict[str, object]:
    """Garbage is collected first: what is left is in use, or leaks."""
    gc.collect()
    objects = Counter(type(each).__qualname__ for each in gc.get_objects())
    return {"tasks": len(asyncio.all_tasks()), "objects": objects}


def tell(file: Path) -> None:
    line = json.dumps(held()) + "\n"
    with file.open("a") as lines:
        lines.write(line)


if __name__ == "__main__":
    told = Path(sys.argv.pop(1))
    signal.signal(signal.SIGUSR1, lambda _signal, _frame: tell(told))
    main(prog_name="imagegate")
