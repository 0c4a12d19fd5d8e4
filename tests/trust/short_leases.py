"""`imagegate` with workers' leases of as many milliseconds as the first argument says: three of them end in a short test."""

import sys

from gateway.ports import queue

if __name__ == "__main__":
    queue.WORKER_LEASE = int(sys.argv.pop(1))  # before anything that goes by it is imported
    from gateway.cli.main import main

    main(prog_name="imagegate")
