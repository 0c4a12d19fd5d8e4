"""One thread that owns the connection. What waits for it is committed together, and answered only after the COMMIT. Hits of the
cache wait for nothing: they are written behind their answers."""

import asyncio
import time
from collections.abc import AsyncIterator, Callable, Mapping, Sequence
from contextlib import asynccontextmanager, suppress
from dataclasses import dataclass
from pathlib import Path
from queue import Empty, SimpleQueue
from threading import Thread
from typing import Any, TypeVar

import apsw

from gateway.ports import StoreDown
from gateway.stores.sqlite.database import Database, open_database
from gateway.stores.sqlite.hits import write_hits

Result = TypeVar("Result")
Operation = Callable[[Database], Result]
Value = str | bytes | int | None
Bindings = Sequence[Value] | Mapping[str, Value]
Row = tuple[Any, ...]
#: is told of each operation: its name, the seconds from the call to the answer, and whether it was done
Observe = Callable[[str, float, bool], None]

#: Operations in one transaction: enough to share an fsync, few enough that nobody waits long for the others.
BATCH = 256

#: Seconds for which hits are gathered, to be written as one.
HITS_WITHIN = 0.05

#: What SQLite says when the disk, the file or the memory fails it; anything else is a mistake of ours.
_DOWN = (
    apsw.BusyError,
    apsw.CantOpenError,
    apsw.CorruptError,
    apsw.FullError,
    apsw.IOError,
    apsw.NoMemError,
    apsw.NotADBError,
    apsw.ReadOnlyError,
)


@dataclass(frozen=True, slots=True)
class _Call:
    op: str
    operation: Operation[object]
    #: None: nobody waits for it
    future: asyncio.Future[Any] | None
    since: float
    alone: bool = False


@dataclass(frozen=True, slots=True)
class _Outcome:
    value: object = None
    error: Exception | None = None


class Writer:
    """Runs operations on the connection, in the order they came, many to a transaction.

    Reads go the same way: they then see exactly what is durable by the time they are answered. What is `known` of the file may
    be read beside it.
    """

    def __init__(self, path: Path, db: Database, observe: Observe) -> None:
        self.path = path
        self.known = db.known
        self._db = db
        self._observe = observe
        self._loop = asyncio.get_running_loop()
        self._queue: SimpleQueue[_Call | None] = SimpleQueue()
        self.stopped = False
        self._hits_due = False
        self._thread = Thread(target=self._work, name="sqlite-writer", daemon=True)

    def start(self) -> None:
        self._thread.start()

    async def stop(self) -> None:
        """Finish what was asked for, then close the file."""
        self.stopped = True
        self._write_hits()
        self._queue.put(None)
        await asyncio.to_thread(self._thread.join)

    async def call(self, op: str, operation: Operation[Result]) -> Result:
        """Run `operation`, which is called `op` where it is told of, in a transaction; its result, once that is durable.

        A caller that is cancelled meanwhile only misses the answer. Raises StoreDown when it was not committed, and
        whatever the operation raises (it then changed nothing).
        """
        return await self._queued(op, operation, alone=False)

    async def alone(self, op: str, operation: Operation[Result]) -> Result:
        """As `call`, but outside any transaction: for what SQLite refuses within one."""
        return await self._queued(op, operation, alone=True)

    async def execute(self, op: str, statement: str, bindings: Bindings) -> list[Row]:
        """`call` for a single statement: its rows."""
        return await self.call(op, lambda db: list(db.execute(statement, bindings)))

    def hit(self) -> None:
        """There is a hit to be written: before whatever is asked for next, or soon."""
        if not self._hits_due:
            self._hits_due = True
            self._loop.call_later(HITS_WITHIN, self._write_hits)

    def _write_hits(self) -> None:
        self._hits_due = False
        if self.known.made.hit:
            self._queue.put(_hits())

    async def _queued(self, op: str, operation: Operation[Result], *, alone: bool) -> Result:
        if self.stopped:
            raise StoreDown(f"{self.path} is closed")
        future: asyncio.Future[Result] = self._loop.create_future()
        self._queue.put(_Call(op, operation, future, time.perf_counter(), alone))
        return await future

    def _work(self) -> None:
        try:
            while batch := self._take():
                if together := [call for call in batch if not call.alone]:
                    if self.known.made.hit:
                        together.insert(0, _hits())
                    self._answer(together, self._run(together))
                for call in batch:
                    if call.alone:
                        self._answer([call], [self._run_alone(call)])
        finally:
            self._db.close()

    def _answer(self, calls: list[_Call], outcomes: list[_Outcome]) -> None:
        self._loop.call_soon_threadsafe(self._resolve, calls, outcomes)

    def _take(self) -> list[_Call]:
        """Wait for one call, then take what else has come. Empty: the end."""
        batch: list[_Call] = []
        call = self._queue.get()
        while call is not None:
            batch.append(call)
            if len(batch) == BATCH:
                return batch
            try:
                call = self._queue.get_nowait()
            except Empty:
                return batch
        self._queue.put(None)  # for the next round, when this one has taken calls
        return batch

    def _run(self, batch: list[_Call]) -> list[_Outcome]:
        try:
            self._db.execute("BEGIN IMMEDIATE")
            outcomes = self._bare(batch)
            if outcomes is None:
                self._db.execute("BEGIN IMMEDIATE")
                outcomes = [self._apply(call.operation) for call in batch]
            self._db.execute("COMMIT")
            self.known.made.done()
        except Exception as error:  # noqa: BLE001 - the thread's outermost guard: every caller of the batch is told
            self._undo()
            return [_Outcome(error=self._down(error)) for _ in batch]
        return outcomes

    def _bare(self, batch: list[_Call]) -> list[_Outcome] | None:
        """All of them, or None when one fails, with nothing done: operations hardly ever do, and savepoints for all would
        cost each of them two statements more. What is done to the connection alone may be done twice."""
        try:
            return [_Outcome(call.operation(self._db)) for call in batch]
        except Exception:  # noqa: BLE001 - it is done again, and its caller told
            self._undo()
            return None

    def _undo(self) -> None:
        self.known.undone()
        if self._db.in_transaction:
            with suppress(apsw.Error):  # then the next BEGIN fails as well, and this is tried again
                self._db.execute("ROLLBACK")

    def _apply(self, operation: Operation[object]) -> _Outcome:
        """One operation under a savepoint of its own, so that its failure undoes nothing of the others."""
        self._db.execute("SAVEPOINT operation")
        written = self.known.made.written
        try:
            outcome = _Outcome(operation(self._db))
        except Exception as error:  # its caller is told
            if not self._db.in_transaction:  # a full disk or an I/O error: SQLite has undone the whole batch
                raise
            self._db.execute("ROLLBACK TO operation")
            self.known.counters.forget()
            self.known.made.unwritten(written)
            outcome = _Outcome(error=self._down(error) if isinstance(error, _DOWN) else error)
        self._db.execute("RELEASE operation")
        return outcome

    def _run_alone(self, call: _Call) -> _Outcome:
        try:
            return _Outcome(call.operation(self._db))
        except Exception as error:  # noqa: BLE001 - the thread's outermost guard: the caller is told
            return _Outcome(error=self._down(error) if isinstance(error, _DOWN) else error)

    def _down(self, error: Exception) -> StoreDown:
        down = StoreDown(f"{self.path} cannot be used now: {error}")
        down.__cause__ = error
        return down

    def _resolve(self, batch: list[_Call], outcomes: list[_Outcome]) -> None:
        now = time.perf_counter()
        for call, outcome in zip(batch, outcomes, strict=True):
            self._observe(call.op, now - call.since, outcome.error is None)
            if call.future is None or call.future.done():  # its caller was cancelled
                continue
            if outcome.error is None:
                call.future.set_result(outcome.value)
            else:
                call.future.set_exception(outcome.error)


def _hits() -> _Call:
    return _Call("hits", write_hits, None, time.perf_counter())


@asynccontextmanager
async def open_writer(path: Path, lock_wait: float, observe: Observe) -> AsyncIterator[Writer]:
    """A running writer on the file, which is closed at the end. Raises StoreDown."""
    db = await asyncio.to_thread(open_database, path, lock_wait)
    writer = Writer(path, db, observe)
    writer.start()
    try:
        yield writer
    finally:
        await writer.stop()


class SqlitePort:
    """What every port of the SQLite store stands on."""

    def __init__(self, writer: Writer) -> None:
        self._writer = writer
