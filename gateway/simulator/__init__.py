"""A stand-in EmpirioLabs over real HTTP: `running`, `in_thread` or `serve` it with `Options`."""

from gateway.simulator.options import Fault, Options
from gateway.simulator.server import in_thread, running, serve

__all__ = ["Fault", "Options", "in_thread", "running", "serve"]
