"""Quotas on a Redis, each operation one script, so that no two processes see each other halfway.

Keys, below a prefix with a hash tag that puts all of them on one node of a cluster (a script may touch keys of one node
only, and a request's accounts are checked together):

    x:HOLD      hash: account -> amount         what a hold lies on, for as long as it can be settled
    s:ACCOUNT   hash: slot -> spent, h -> held  ``held`` is the sum of the holds whose lease is not over
    h:ACCOUNT   sorted set: "AMOUNT HOLD" by its lease

Amounts go through Lua as text where they are stored, since its numbers print large integers as floats. Times to live
are relative: the clock is the gateways', not the server's.

A client sends a command again whose answer was lost on the way: what is reserved under a name is reserved once.
"""

from collections.abc import Mapping, Sequence
from typing import TYPE_CHECKING, Any

from asgi_llm.stores.quotas import GRACE, Balance, Charge, Demand, Verdict

if TYPE_CHECKING:
    from redis.asyncio import Redis

__all__ = ["RedisQuotas"]

_COMMON = """
local function outlive(key, seconds)
  local ms = math.ceil(math.max(seconds, 1) * 1000)
  if redis.call('PTTL', key) < ms then redis.call('PEXPIRE', key, string.format('%.0f', ms)) end
end
local function lapse(spent, holds, now)
  local over = redis.call('ZRANGEBYSCORE', holds, '-inf', now)
  for _, member in ipairs(over) do
    redis.call('HINCRBY', spent, 'h', '-' .. string.match(member, '^%d+'))
  end
  if #over > 0 then redis.call('ZREMRANGEBYSCORE', holds, '-inf', now) end
end
local function total(spent, first)
  local sum, held, slots, entries = 0, 0, {}, redis.call('HGETALL', spent)
  for at = 1, #entries, 2 do
    local slot, amount = entries[at], tonumber(entries[at + 1])
    if slot == 'h' then held = amount
    elseif tonumber(slot) < first then redis.call('HDEL', spent, slot)
    else
      sum = sum + amount
      slots[#slots + 1] = tonumber(slot)
      slots[#slots + 1] = amount
    end
  end
  return sum, held, slots
end
"""

_RESERVE = (
    _COMMON
    + """
local now, lease, hold, grace = ARGV[1], ARGV[2], ARGV[3], tonumber(ARGV[4])
local balances = {}
local again = redis.call('EXISTS', KEYS[1]) == 1
for at = 1, (#KEYS - 1) / 2 do
  local spent, holds, arg = KEYS[2 * at], KEYS[2 * at + 1], 4 + (at - 1) * 6
  lapse(spent, holds, now)
  local sum, held, slots = total(spent, tonumber(ARGV[arg + 3]))
  if again then
    if ARGV[arg + 6] == '1' then held = held - tonumber(ARGV[arg + 1]) else sum = sum - tonumber(ARGV[arg + 1]) end
  end
  balances[#balances + 1] = sum
  balances[#balances + 1] = held
  local most = tonumber(ARGV[arg + 2])
  if not again and sum + held + tonumber(ARGV[arg + 1]) > most then return {at, balances, slots} end
end
if again then return {0, balances, {}} end
local live = tonumber(lease) - tonumber(now)
for at = 1, (#KEYS - 1) / 2 do
  local spent, holds, arg = KEYS[2 * at], KEYS[2 * at + 1], 4 + (at - 1) * 6
  if ARGV[arg + 6] == '1' then
    redis.call('HINCRBY', spent, 'h', ARGV[arg + 1])
    redis.call('ZADD', holds, lease, ARGV[arg + 1] .. ' ' .. hold)
    redis.call('HSET', KEYS[1], holds, ARGV[arg + 1])
    outlive(spent, live + grace)
    outlive(holds, live + grace)
    outlive(KEYS[1], live + grace)
  else
    redis.call('HINCRBY', spent, ARGV[arg + 4], ARGV[arg + 1])
    outlive(spent, tonumber(ARGV[arg + 5]) - tonumber(now))
  end
end
return {0, balances, {}}
"""
)

_SETTLE = (
    _COMMON
    + """
if redis.call('EXISTS', KEYS[1]) == 0 then return 0 end
local now, hold = tonumber(ARGV[1]), ARGV[2]
for at = 1, (#KEYS - 1) / 2 do
  local spent, holds, arg = KEYS[2 * at], KEYS[2 * at + 1], 2 + (at - 1) * 3
  local amount = redis.call('HGET', KEYS[1], holds)
  if amount and redis.call('ZREM', holds, amount .. ' ' .. hold) == 1 then
    redis.call('HINCRBY', spent, 'h', '-' .. amount)
  end
  if ARGV[arg + 1] ~= '0' then
    redis.call('HINCRBY', spent, ARGV[arg + 2], ARGV[arg + 1])
    outlive(spent, tonumber(ARGV[arg + 3]) - now)
  end
end
redis.call('DEL', KEYS[1])
return 1
"""
)

_RENEW = (
    _COMMON
    + """
if redis.call('EXISTS', KEYS[1]) == 0 then return 0 end
local hold, lease, live = ARGV[1], ARGV[2], tonumber(ARGV[3])
for at = 1, (#KEYS - 1) / 2 do
  local spent, holds = KEYS[2 * at], KEYS[2 * at + 1]
  local amount = redis.call('HGET', KEYS[1], holds)
  if amount then
    if redis.call('ZADD', holds, lease, amount .. ' ' .. hold) == 1 then
      redis.call('HINCRBY', spent, 'h', amount)
    end
    outlive(spent, live)
    outlive(holds, live)
    outlive(KEYS[1], live)
  end
end
return 1
"""
)

_BALANCE = (
    _COMMON
    + """
lapse(KEYS[1], KEYS[2], ARGV[1])
local sum, held = total(KEYS[1], tonumber(ARGV[2]))
return {sum, held}
"""
)


class RedisQuotas:
    """Implements ``QuotaStore`` on a client of redis-py, which it owns."""

    def __init__(self, client: "Redis", prefix: str = "asgi_llm:{quotas}:") -> None:
        self._client: Any = client  # its types are of several minds about what a script returns
        self._prefix = prefix
        self._reserve = self._client.register_script(_RESERVE)
        self._settle = self._client.register_script(_SETTLE)
        self._renew = self._client.register_script(_RENEW)
        self._balance = self._client.register_script(_BALANCE)

    async def reserve(self, hold: str, demands: Sequence[Demand], now: float, lease: float) -> Verdict:
        arguments: list[str | int | float] = [f"{now:.6f}", f"{lease:.6f}", hold, GRACE]
        for item in demands:
            arguments += (item.amount, item.limit, item.first, item.slot, item.keep, int(item.held))
        keys = self._keys(hold, [item.account for item in demands])
        refused, balances, slots = await self._reserve(keys=keys, args=arguments)
        pairs = tuple(Balance(balances[at], balances[at + 1]) for at in range(0, len(balances), 2))
        if not refused:
            return Verdict(pairs)
        spent = sorted((slots[at], slots[at + 1]) for at in range(0, len(slots), 2))
        return Verdict(pairs, refused - 1, tuple(spent))

    async def settle(self, hold: str, charges: Sequence[Charge], now: float) -> bool:
        arguments: list[str | int | float] = [now, hold]
        for charge in charges:
            arguments += (charge.amount, charge.slot, charge.keep)
        return bool(await self._settle(keys=self._keys(hold, [charge.account for charge in charges]), args=arguments))

    async def renew(self, holds: Mapping[str, Sequence[str]], now: float, lease: float) -> None:
        for hold, accounts in holds.items():
            arguments: list[str | int | float] = [hold, f"{lease:.6f}", lease - now + GRACE]
            await self._renew(keys=self._keys(hold, accounts), args=arguments)

    async def balance(self, account: str, first: int, now: float) -> Balance:
        _, *keys = self._keys("", [account])
        spent, held = await self._balance(keys=keys, args=[f"{now:.6f}", first])
        return Balance(spent, held)

    async def aclose(self) -> None:
        await self._client.aclose()

    def _keys(self, hold: str, accounts: Sequence[str]) -> list[str]:
        keys = [f"{self._prefix}x:{hold}"]
        for account in accounts:
            keys += (f"{self._prefix}s:{account}", f"{self._prefix}h:{account}")
        return keys
