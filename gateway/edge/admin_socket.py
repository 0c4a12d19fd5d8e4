"""The local admin socket: where it lies (server and command line agree on this), and how it is bound and unlinked."""

import hashlib
import os
import socket
import stat
from collections.abc import Iterator
from contextlib import closing, contextmanager
from pathlib import Path

#: sun_path of Linux without its closing NUL; bind and connect fail above it
MAX_PATH_BYTES = 107
_PROBE_S = 1.0


class AdminSocketError(OSError):
    """The admin socket cannot be had; the text says why and is for the person who started the gateway."""


def admin_socket_path(data: Path, runtime: Path) -> Path:
    """`admin.sock` in the data directory, or a name derived from that path in the runtime directory if it is too long.

    `data` must be absolute and resolved, so that server and command line derive the same name.
    """
    path = data / "admin.sock"
    if len(os.fsencode(path)) <= MAX_PATH_BYTES:
        return path
    digest = hashlib.sha256(os.fsencode(path)).hexdigest()[:16]
    return runtime / f"imagegate-{digest}.sock"


def is_trusted(path: Path, data: Path) -> bool:
    """Whether `path` is a socket that we or root made: a client asks before it speaks to one in a shared directory.

    To root one of the data directory's owner is as good: the administrator, whose store root would open otherwise, and
    who has no other name than a number where the gateway runs under one of its own (systemd's DynamicUser, containers).
    To others it is not: whoever owns a directory that they were led to is not obeyed by them.
    """
    try:
        status = path.lstat()
        trusted = {os.geteuid(), 0}
        if os.geteuid() == 0:
            trusted.add(data.stat().st_uid)
    except (FileNotFoundError, NotADirectoryError):
        return False
    return stat.S_ISSOCK(status.st_mode) and status.st_uid in trusted


@contextmanager
def admin_listener(path: Path) -> Iterator[socket.socket]:
    """A listening socket at `path`, mode 0600, unlinked at the end if it is still this one.

    A socket that nobody answers on, left by a crash, is replaced. Raises AdminSocketError.
    """
    _clear_stale(path)
    with closing(socket.socket(socket.AF_UNIX)) as listener:
        mask = os.umask(0o177)  # before bind: a chmod after it would leave the socket open for a moment
        try:
            listener.bind(os.fspath(path))
        except OSError as error:
            raise AdminSocketError(f"cannot make the admin socket {path}: {error.strerror or error}") from error
        finally:
            os.umask(mask)
        listener.listen()
        ours = path.lstat()
        try:
            yield listener
        finally:
            if path.exists() and os.path.samestat(ours, path.lstat()):
                path.unlink()


def _clear_stale(path: Path) -> None:
    try:
        mode = path.lstat().st_mode
    except FileNotFoundError:
        return
    if not stat.S_ISSOCK(mode):
        raise AdminSocketError(f"{path} is in the way of the admin socket and is no socket")
    with closing(socket.socket(socket.AF_UNIX)) as probe:
        probe.settimeout(_PROBE_S)
        try:
            probe.connect(os.fspath(path))
        except (ConnectionRefusedError, FileNotFoundError):
            path.unlink(missing_ok=True)
            return
        except (TimeoutError, BlockingIOError):
            pass  # its backlog is full: busy, not dead
        except OSError as error:
            raise AdminSocketError(f"cannot probe the admin socket {path}: {error.strerror}") from error
    raise AdminSocketError(f"another gateway is running on {path.parent}: its admin socket answers")
