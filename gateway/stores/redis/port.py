"""What every port of the Redis store stands on."""

from gateway.stores.redis.link import Link
from gateway.stores.redis.unanswered import Unanswered


class RedisPort:
    def __init__(self, link: Link, unanswered: Unanswered) -> None:
        self._link = link
        self._unanswered = unanswered
