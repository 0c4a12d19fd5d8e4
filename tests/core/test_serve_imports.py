"""What `imagegate serve` imports by itself: some libraries are megabytes and milliseconds that few configurations need."""

import gc
import subprocess
import sys

from gateway.cli.main import main

_ASK = """
import sys
import gateway.cli.serve
print(*sorted({"PIL", "redis", "gateway.simulator", "gateway.worker", "polyfactory"} & set(sys.modules)))
"""


def test_serve_leaves_pillow_and_redis_to_who_names_them() -> None:
    said = subprocess.run([sys.executable, "-c", _ASK], capture_output=True, text=True, check=True)
    assert said.stdout == "\n"


def test_the_collector_is_back_once_a_command_is_imported() -> None:
    frozen = gc.get_freeze_count()
    try:
        assert main.commands == {}
        assert main.get_command(main.make_context("imagegate", ["serve"]), "serve") is not None
        assert gc.isenabled()
        assert gc.get_freeze_count() > frozen
    finally:
        gc.unfreeze()
