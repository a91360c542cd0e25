"""So many at a time, the others in order."""

import asyncio
from collections.abc import Callable

import pytest

from asgi_llm.errors import PolicyError
from asgi_llm.fleet.gate import Gate


async def turns(done: Callable[[], bool] = lambda: False) -> None:
    """Lets everything run that can."""
    for _ in range(20):
        if done():
            return
        await asyncio.sleep(0)


async def queue(gate: Gate, order: list[int], *numbers: int) -> list[asyncio.Task[None]]:
    async def one(number: int) -> None:
        await gate.enter()
        order.append(number)

    tasks = [asyncio.create_task(one(number)) for number in numbers]
    await turns()
    return tasks


async def test_the_first_to_come_is_the_first_to_enter() -> None:
    gate, order = Gate(2, queue=9, timeout=60), []
    tasks = await queue(gate, order, 0, 1, 2, 3, 4)
    assert (order, gate.inside, gate.waiting) == ([0, 1], 2, 3)
    for inside in ([0, 1, 2], [0, 1, 2, 3], [0, 1, 2, 3, 4]):
        gate.leave()
        await turns()
        assert order == inside
    assert gate.inside == 2
    gate.leave()
    gate.leave()
    assert (gate.inside, gate.waiting) == (0, 0)
    await asyncio.gather(*tasks)


async def test_nobody_overtakes_who_waits() -> None:
    gate, order = Gate(1, queue=9, timeout=60), []
    await queue(gate, order, 0, 1)
    gate.leave()
    assert not gate.try_enter()  # the place belongs to the one who waited, before that one has run
    await turns()
    assert order == [0, 1]


async def test_one_too_many_is_refused_at_once() -> None:
    gate = Gate(1, queue=1, timeout=60)
    await queue(gate, [], 0, 1)
    with pytest.raises(PolicyError) as caught:
        await gate.enter()
    assert (caught.value.code, caught.value.status) == ("queue_full", 429)
    assert caught.value.retry_after is not None
    assert 1 <= caught.value.retry_after <= 60


async def test_a_queue_of_no_length_refuses_at_once() -> None:
    gate = Gate(1, queue=0, timeout=60)
    await gate.enter()
    with pytest.raises(PolicyError, match="waiting already"):
        await gate.enter()


async def test_who_waits_too_long_is_refused_and_takes_no_place() -> None:
    gate = Gate(1, queue=9, timeout=0.01)
    await gate.enter()
    with pytest.raises(PolicyError) as caught:
        await gate.enter()
    assert (caught.value.code, caught.value.status) == ("queue_timeout", 503)
    assert (gate.inside, gate.waiting) == (1, 0)


async def test_who_leaves_the_queue_is_passed_over() -> None:
    gate, order = Gate(1, queue=9, timeout=60), []
    tasks = await queue(gate, order, 0, 1, 2)
    tasks[1].cancel()
    await turns()
    assert gate.waiting == 1
    gate.leave()
    await turns()
    assert order == [0, 2]


async def test_a_place_given_to_one_who_leaves_at_that_moment_goes_on() -> None:
    gate, order = Gate(1, queue=9, timeout=60), []
    tasks = await queue(gate, order, 0, 1, 2)
    gate.leave()  # to 1, who has not run yet
    tasks[1].cancel()
    await turns()
    assert order == [0, 2]
    gate.leave()
    assert (gate.inside, gate.waiting) == (0, 0)
