"""Budgets counted in Redis, by all processes that use it."""

from __future__ import annotations

import uuid
from collections.abc import Iterator, Sequence
from typing import Any, Final

from slmroute.budget.limits import Charge
from slmroute.budget.stores import Hold, Taken
from slmroute.errors import MissingExtra

__all__ = ["RedisStore"]

TIMEOUT_S: Final = 1.0
KEPT_S: Final = 86_400
"""How much longer than a window its count stays, for calls that began in it: Redis's own clock may be another."""

HOLD: Final = """
local refused = -1
local used = {}
local spent = {}
local now = tonumber(ARGV[2])
for place = 0, #KEYS / 2 - 1 do
  local total = tonumber(redis.call('GET', KEYS[2 * place + 1]) or '0')
  local known = ARGV[4 * place + 7]
  if total < tonumber(known) then
    redis.call('SET', KEYS[2 * place + 1], known, 'EX', ARGV[4 * place + 6])
    total = tonumber(known)
  end
  spent[place + 1] = string.format('%.0f', total)
  local holds = redis.call('HGETALL', KEYS[2 * place + 2])
  for field = 1, #holds, 2 do
    local amount, ends = string.match(holds[field + 1], '^(%d+) (%d+)$')
    if ends and tonumber(ends) > now then
      total = total + tonumber(amount)
    else
      redis.call('HDEL', KEYS[2 * place + 2], holds[field])
    end
  end
  used[place + 1] = string.format('%.0f', total)
  if refused < 0 and total + tonumber(ARGV[4 * place + 4]) > tonumber(ARGV[4 * place + 5]) then refused = place end
end
if refused < 0 then
  for place = 0, #KEYS / 2 - 1 do
    redis.call('HSET', KEYS[2 * place + 2], ARGV[1], ARGV[4 * place + 4] .. ' ' .. ARGV[3])
    redis.call('EXPIRE', KEYS[2 * place + 2], ARGV[4 * place + 6])
  end
end
return {refused, used, spent}
"""
"""Adds up what is counted and held for each charge, and holds all of them or none. Keys: count and holds of each
charge. Arguments: the hold, when it begins and ends, then amount, limit, expiry and known count of each charge. A hold
is kept with its end, and left out and dropped from then on."""

SETTLE: Final = """
local holds = tonumber(ARGV[1])
local last = table.remove(KEYS)
local number = table.remove(ARGV)
if tonumber(redis.call('GET', last) or '0') >= tonumber(number) then return end
redis.call('SET', last, number, 'EX', 86400)
for place = 0, #KEYS / 2 - 1 do
  redis.call('INCRBY', KEYS[2 * place + 1], ARGV[holds + 2 + 2 * place])
  redis.call('EXPIRE', KEYS[2 * place + 1], ARGV[holds + 3 + 2 * place])
  for first = 2, holds + 1, 1000 do
    redis.call('HDEL', KEYS[2 * place + 2], unpack(ARGV, first, math.min(first + 999, holds + 1)))
  end
end
"""
"""Counts charges and drops holds, once: its answer may be lost, and the same be asked again. Keys as above, and where
the number of the last is kept. Arguments: the number of holds, the holds, amount and expiry of each charge, and the
number of this."""


class RedisStore:
    """Counts in Redis, over one connection, for one thread.

    Args:
        url: ``redis://``, ``rediss://`` or ``unix://``.

    Raises:
        MissingExtra: The extra ``redis`` is not installed.
    """

    def __init__(self, url: str) -> None:
        try:
            import redis
        except ImportError:
            raise MissingExtra("redis", "A budget shared through Redis") from None
        self.outages: tuple[type[Exception], ...] = (redis.RedisError, OSError)
        connect: Any = redis.Redis.from_url  # pyright: ignore[reportUnknownMemberType, reportUnknownVariableType]
        self._client: Any = connect(url, socket_timeout=TIMEOUT_S, socket_connect_timeout=TIMEOUT_S)
        self._hold = self._client.register_script(HOLD)
        self._settle = self._client.register_script(SETTLE)
        self._last = f"{{slmroute-budget}}|last|{uuid.uuid4().hex}"
        self._settled = 0

    def hold(self, holds: Sequence[Hold]) -> Iterator[Taken]:
        """See ``Store``."""
        return map(self._take, holds)

    def settle(self, hold_ids: Sequence[str], charges: Sequence[Charge]) -> None:
        """See ``Store``."""
        arguments: list[str | int] = [len(hold_ids), *hold_ids]
        for charge in charges:
            arguments += [charge.amount, charge.end - charge.start + KEPT_S]
        self._settle(keys=[*_keys(charges), self._last], args=[*arguments, self._settled + 1])
        self._settled += 1

    def close(self) -> None:
        """See ``Store``."""
        self._client.close()

    def _take(self, hold: Hold) -> Taken:
        first = hold.charges[0]
        arguments: list[str | int] = [hold.hold_id, first.at, first.held_until]
        for charge, amount in zip(hold.charges, hold.known, strict=True):
            arguments += [charge.amount, charge.limit, charge.end - charge.start + KEPT_S, amount]
        refused, used, spent = self._hold(keys=_keys(hold.charges), args=arguments)
        return Taken(None if refused < 0 else int(refused), tuple(map(int, used)), tuple(map(int, spent)))


def _keys(charges: Sequence[Charge]) -> list[str]:
    """The names of a charge's count and holds; the part in braces keeps them on one node of a cluster."""
    names = [f"{{slmroute-budget}}|{charge.meter}|{charge.start}" for charge in charges]
    return [key for name in names for key in (name, f"{name}|holds")]
