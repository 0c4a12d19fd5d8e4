"""Time for what is counted by the minute: it stands still until a test moves it, also on a Redis server."""

from contextlib import AbstractAsyncContextManager

from redis_server import RedisServer

from gateway.ports import Clock

#: Nobody sets a server's clock, so all that it has counted is made older instead: logs of instants, and instants alone.
_AGE = """
for _, name in ipairs(redis.call('KEYS', '*')) do
  if redis.call('TYPE', name).ok == 'zset' then
    for _, member in ipairs(redis.call('ZRANGE', name, 0, -1)) do redis.call('ZINCRBY', name, -ARGV[1], member) end
  elseif redis.call('TYPE', name).ok == 'string' then
    local older = string.format('%.0f', redis.call('GET', name) - ARGV[1])
    redis.call('SET', name, older, 'KEEPTTL')
  end
end
"""


class HandClock(Clock):
    def __init__(self) -> None:
        self.seconds = 1000.0

    def now(self) -> int:
        return int(self.seconds * 1000)

    def monotonic(self) -> float:
        return self.seconds

    async def sleep(self, seconds: float) -> None:
        self.seconds += seconds

    def timeout(self, seconds: float) -> AbstractAsyncContextManager[object]:
        raise NotImplementedError


class ServerClock(HandClock):
    """The server's clock goes on by itself as well: tests that are over in less than a second see little of that."""

    def __init__(self, server: RedisServer) -> None:
        super().__init__()
        self._server = server

    async def sleep(self, seconds: float) -> None:
        await super().sleep(seconds)
        self._server.call("EVAL", _AGE, "0", str(int(seconds * 1_000_000)))
