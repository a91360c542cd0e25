"""A gateway in a process of its own, which does what it is told on its standard input, a line of JSON at a time. Run by
``test_processes.py``.

    python process.py SETTINGS
"""

import asyncio
import json
import sys
from typing import Any

import msgspec

from asgi_llm import Gateway
from asgi_llm.testing import ASGIDriver

BODY = {"model": "m", "messages": [{"role": "user", "content": "hi"}]}


async def do(gateway: Gateway, told: dict[str, Any]) -> Any:
    match told.pop("do"):
        case "add":
            return msgspec.to_builtins(await gateway.fleet.add("fleet", told["worker"]))
        case "drain":
            return msgspec.to_builtins(await gateway.fleet.drain(told["id"]))
        case "remove":
            return await gateway.fleet.remove(told["id"])
        case "workers":
            return msgspec.to_builtins(gateway.fleet.workers())
    statuses = []
    for _ in range(told["times"]):
        exchange = await ASGIDriver(gateway.asgi).request("POST", "/v1/chat/completions", json=BODY)
        statuses.append((await exchange.start()).status)
        await exchange.body()
        await exchange.finished()
    return statuses


async def main() -> None:
    gateway = Gateway(json.loads(sys.argv[1]))
    loop = asyncio.get_running_loop()
    async with gateway.running():
        gateway.runtime()
        while line := await loop.run_in_executor(None, sys.stdin.readline):
            print(json.dumps(await do(gateway, json.loads(line))), flush=True)


asyncio.run(main())
