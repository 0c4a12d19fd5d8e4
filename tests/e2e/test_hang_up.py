"""SIGHUP as a terminal sends it when it is closed, and as an operator does: the one ends the gateway, the other does not."""

import fcntl
import os
import pty
import signal
import subprocess
import sys
import termios
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import pytest
from processes import Process, gateway


class Attended(Process):
    """In a session of its own, on a terminal that it has to itself."""

    def launch(self) -> subprocess.Popen[bytes]:
        self.terminal, theirs = pty.openpty()
        with self.log.open("ab") as log:
            self.running = subprocess.Popen(
                [sys.executable, *self.program, *self.arguments],
                env=self.environment,
                stdin=theirs,
                stdout=log,
                stderr=log,
                cwd=self.log.parent,
                start_new_session=True,
                preexec_fn=lambda: fcntl.ioctl(0, termios.TIOCSCTTY, 0),  # noqa: PLW1509 - no thread of ours runs
            )
        os.close(theirs)
        return self.running


@contextmanager
def attended(directory: Path) -> Iterator[Attended]:
    with gateway(directory, "http://127.0.0.1:9", started=False, IMAGEGATE_LOG_LEVEL="info") as made:
        process = Attended(made.arguments, made.port, made.environment, made.log)
        try:
            process.start()
            yield process
        finally:
            process.end()


@pytest.mark.skipif(sys.platform != "linux", reason="a terminal is taken otherwise elsewhere")
def test_who_closes_its_terminal_ends_it_and_who_sends_the_signal_has_policies_read(tmp_path: Path) -> None:
    with attended(tmp_path) as process:
        assert process.running is not None
        process.running.send_signal(signal.SIGHUP)
        while "policies_reloaded" not in process.log.read_text():
            assert process.running.poll() is None, process.log.read_text()
        os.close(process.terminal)
        assert process.running.wait(20) == 0
        assert '"event": "stopping"' in process.log.read_text()
