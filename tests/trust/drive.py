"""A drive that may lose its power at any write or sync: what was not synced by then is lost, or there in part.

SQLite reaches it through a VFS, pictures through `os.fsync`, which is all that they ask of a drive.
"""

import errno
import os
import stat
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from dataclasses import dataclass, field
from pathlib import Path
from random import Random
from threading import RLock

import apsw

SECTOR = 512


@dataclass
class Write:
    """`data` at `offset`; without data, the file cut to that length."""

    offset: int
    data: bytes | None

    def on(self, image: bytearray) -> None:
        if self.data is None:
            del image[self.offset :]
            return
        image.extend(bytes(max(0, self.offset - len(image))))
        image[self.offset : self.offset + len(self.data)] = self.data


@dataclass
class Drive:
    """What of each file has reached the platter, what only the cache knows, and when the power goes.

    `shelf` is the directory of pictures; `lying`: it forgets those, and says that it has them.
    """

    seed: int
    cut_at: int
    shelf: Path
    lying: bool = False
    steps: int = 0
    platter: dict[str, bytearray] = field(default_factory=dict)
    cache: dict[str, list[Write]] = field(default_factory=dict)
    #: of the pictures: the files that the platter has by name, and the bytes that it has of a file
    names: dict[str, int] = field(default_factory=dict)
    contents: dict[int, bytes] = field(default_factory=dict)
    dead: bool = False
    #: SQLite's thread comes here, and those of the pictures
    lock: RLock = field(default_factory=RLock)

    def step(self) -> None:
        with self.lock:
            self.steps += 1
            if self.steps == self.cut_at:
                self.dead = True
                self.keep_some()
            if self.dead:
                raise apsw.IOError("the power is gone")

    def fsync(self, descriptor: int) -> None:
        """In place of `os.fsync`: a file's bytes reach the platter, or a directory's names."""
        with self.lock:
            try:
                self.step()
            except apsw.IOError as error:
                raise OSError(errno.EIO, str(error)) from error
            status = os.fstat(descriptor)
            if self.lying:
                return
            if stat.S_ISDIR(status.st_mode):
                self.names = self.shelved()
            else:
                # by its name: who only writes it has a descriptor that cannot be read
                (name,) = [name for name, inode in self.shelved().items() if inode == status.st_ino]
                self.contents[status.st_ino] = (self.shelf / name).read_bytes()

    def shelved(self) -> dict[str, int]:
        with os.scandir(self.shelf) as entries:
            return {entry.name: entry.inode() for entry in entries}

    def write(self, name: str, write: Write) -> None:
        self.step()
        self.cache.setdefault(name, []).append(write)

    def sync(self, name: str) -> None:
        self.step()
        self.flush(name)

    def flush(self, name: str) -> None:
        image = self.platter.setdefault(name, bytearray())
        for write in self.cache.pop(name, []):
            write.on(image)

    def keep_some(self) -> None:
        """By the seed: none of the cached writes has reached the platter, some have, or some have by half."""
        random = Random(self.seed)
        if self.seed % 3 == 0:
            return
        for name, writes in self.cache.items():
            image = self.platter.setdefault(name, bytearray())
            for write in writes:
                if random.random() < 0.5:
                    self.torn(write, random).on(image)
        with suppress(FileNotFoundError):  # the cut came before there was a shelf, or a file was renamed just now
            for name, inode in self.shelved().items() - self.names.items():
                if random.random() < 0.5:
                    whole = Write(0, (self.shelf / name).read_bytes())
                    self.names[name] = inode
                    self.contents.setdefault(inode, self.torn(whole, random).data or b"")

    def torn(self, write: Write, random: Random) -> Write:
        if self.seed % 3 == 1 or write.data is None:
            return write
        return Write(write.offset, write.data[: random.randrange(0, len(write.data) + 1, SECTOR)])

    def restart(self, folder: Path) -> None:
        """Write the platter's database and its shelf there, as a restart finds them."""
        shelf = folder / self.shelf.name
        shelf.mkdir(parents=True)
        for path, image in self.platter.items():
            (folder / Path(path).name).write_bytes(image)
        for name, inode in self.names.items():
            (shelf / name).write_bytes(self.contents.get(inode, b""))


class DriveFile(apsw.VFSFile):
    def __init__(self, drive: Drive, name: str, flags: list[int]) -> None:
        super().__init__("unix", name, flags)
        self.drive = drive
        self.name = name

    def xWrite(self, data: bytes, offset: int) -> None:  # noqa: N802 - SQLite's name
        self.drive.write(self.name, Write(offset, bytes(data)))
        super().xWrite(data, offset)

    def xTruncate(self, newsize: int) -> None:  # noqa: N802
        self.drive.write(self.name, Write(newsize, None))
        super().xTruncate(newsize)

    def xSync(self, flags: int) -> None:  # noqa: N802
        self.drive.sync(self.name)
        super().xSync(flags)


class DriveVFS(apsw.VFS):
    def __init__(self, drive: Drive) -> None:
        super().__init__("drive", "unix", makedefault=True)
        self.drive = drive

    def xOpen(self, name: str | apsw.URIFilename | None, flags: list[int]) -> apsw.VFSFile:  # noqa: N802
        path = name.filename() if isinstance(name, apsw.URIFilename) else name
        if path is None:
            return super().xOpen(name, flags)
        return DriveFile(self.drive, path, flags)

    def xDelete(self, filename: str, syncdir: bool) -> None:  # noqa: N802
        self.drive.step()
        self.drive.platter.pop(filename, None)
        self.drive.cache.pop(filename, None)
        super().xDelete(filename, syncdir)


@contextmanager
def powered_by(drive: Drive) -> Iterator[None]:
    vfs = DriveVFS(drive)
    fsync, os.fsync = os.fsync, drive.fsync  # type: ignore[assignment]  # all who ask it here have a number
    try:
        yield
    finally:
        os.fsync = fsync
        vfs.unregister()
        apsw.set_default_vfs("unix")
