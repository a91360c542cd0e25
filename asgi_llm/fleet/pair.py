"""A prefill and a decode worker that serve one request together.

The prefill worker reads the prompt and hands what it has computed to the decode worker, which writes the answer. How
the two find each other is the engine's way:

    bootstrap   (SGLang) both get the same request at once, with the address and the room at which they meet
    transfer    (vLLM) the prefill worker is asked for one token and tells what the decode worker is to fetch

To the pipeline a pair is a worker like any other, made anew for each attempt. It knows which of the two failed, and
only that one is blamed.
"""

import asyncio
import secrets
from collections.abc import Awaitable, Collection
from typing import Any, TypeVar
from urllib.parse import urlsplit

import msgspec
from msgspec import structs

from asgi_llm.dialects.spans import AmbiguousError, items, members
from asgi_llm.dialects.splice import member_span, put_member
from asgi_llm.errors import Cause, ClientError, UpstreamError
from asgi_llm.routing.balance.interface import Facts
from asgi_llm.upstream.interface import UpstreamRequest, UpstreamResponse

from .worker import Worker

__all__ = ["Pair", "blamed"]

T = TypeVar("T")

_LIMIT = 16 * 1024 * 1024
"""Most bytes of the answer of a vLLM prefill worker: one token, and what is to be fetched."""

_ONE_TOKEN = {
    "stream": b"false",
    "max_tokens": b"1",
    "kv_transfer_params": msgspec.json.encode(
        {
            "do_remote_decode": True,
            "do_remote_prefill": False,
            "remote_engine_id": None,
            "remote_block_ids": None,
            "remote_host": None,
            "remote_port": None,
        }
    ),
}
"""What a vLLM prefill worker is asked instead of the caller's request."""

_NOT_FOR_ONE = {"max_completion_tokens": b"1", "min_tokens": b"0", "stream_options": b"null"}
"""What would contradict that, where the caller has it."""


class _Handover(msgspec.Struct):
    kv_transfer_params: msgspec.Raw = msgspec.Raw(b"null")


def blamed(tried: Collection[Worker]) -> list[Worker]:
    """The workers behind ``tried``, of a pair only the one that failed."""
    return [worker.blamed or worker.decode if isinstance(worker, Pair) else worker for worker in tried]


class Pair(Worker):
    """Its own client, too. Breaker, load and policy are those of the two.

    Attributes:
        name: of both; once one of them has failed, of that one.
        blamed: who failed, or None.
    """

    __slots__ = ("_facts", "_prefilling", "_probes", "blamed", "decode", "prefill")

    def __init__(self, prefill: Worker, decode: Worker) -> None:
        super().__init__(
            decode.target,
            f"{prefill.name}+{decode.name}",
            decode.key,
            self,
            decode.station.target.settings.breaker,
            policy=None,
            troubled=set(),
            station=decode.station,
        )
        self.prefill = prefill
        self.decode = decode
        self.blamed: Worker | None = None
        self._prefilling = False
        self._probes = (False, False)
        self._facts: Facts | None = None

    def enter(self, facts: Facts | None) -> bool:
        self._facts = facts
        self._probes = (self.prefill.enter(facts), self.decode.enter(facts))
        self._prefilling = True
        return False  # which of the two is probed it remembers itself

    def succeeded(self, facts: Facts | None, probe: bool) -> None:
        self._prefilled()
        self.decode.succeeded(facts, self._probes[1])

    def failed(self, error: UpstreamError, now: float, facts: Facts | None, probe: bool) -> None:
        if self.blamed is self.prefill and self._prefilling:
            self._prefilling = False
            self.prefill.failed(error, now, facts, self._probes[0])
            self.decode.abandoned(facts, self._probes[1])
            return
        self._blame(self.decode)
        self._leave_prefill(facts)
        self.decode.failed(error, now, facts, self._probes[1])

    def abandoned(self, facts: Facts | None, probe: bool) -> None:
        self._leave_prefill(facts)
        self.decode.abandoned(facts, self._probes[1])

    def _prefilled(self) -> None:
        """The prefill worker has done its part, and is free for others while the answer is written."""
        if self._prefilling:
            self._prefilling = False
            self.prefill.succeeded(self._facts, self._probes[0])

    def _leave_prefill(self, facts: Facts | None) -> None:
        if self._prefilling:
            self._prefilling = False
            self.prefill.abandoned(facts, self._probes[0])

    def _blame(self, worker: Worker) -> None:
        self.blamed = worker
        self.name = worker.name

    async def send(self, request: UpstreamRequest) -> UpstreamResponse:
        """See ``Client.send``. The answer is the decode worker's, or what one of the two said against the request."""
        if self.station.target.provider.pairing == "bootstrap":
            return await self._meet(request)
        return await self._hand_over(request)

    async def aclose(self) -> None:
        """Nothing here is its own."""

    async def _meet(self, request: UpstreamRequest) -> UpstreamResponse:
        first, second = self._with_room(request.body)
        prefill = asyncio.ensure_future(self._fill(structs.replace(request, body=first)))
        decode = asyncio.ensure_future(_send(self.decode, structs.replace(request, body=second)))
        kept: asyncio.Future[Any] | None = None
        try:
            await asyncio.wait((prefill, decode), return_when=asyncio.FIRST_COMPLETED)
            # Who fails first is to blame: the other one fails because of it.
            if prefill.done() or _is_good(decode):
                refusal = await self._of(self.prefill, prefill)
                if refusal is not None:
                    kept = prefill
                    return refusal
            kept = decode
            return await self._of(self.decode, decode)
        finally:
            for task in (prefill, decode):
                if task is not kept or not task.done():
                    _drop(task)

    async def _hand_over(self, request: UpstreamRequest) -> UpstreamResponse:
        if not any(name == b"x-request-id" for name, _ in request.headers):
            headers = [*request.headers, (b"x-request-id", secrets.token_hex(16).encode("ascii"))]
            request = structs.replace(request, headers=headers)
        response = await self._of(self.prefill, _send(self.prefill, structs.replace(request, body=_one(request.body))))
        if response.status >= 300:
            return response
        handover = await self._of(self.prefill, _read_handover(response))
        self._prefilled()
        body = put_member(request.body, "kv_transfer_params", handover)
        return await self._of(self.decode, _send(self.decode, structs.replace(request, body=body)))

    async def _of(self, worker: Worker, told: Awaitable[T]) -> T:
        """What ``worker`` tells; whose fault it is where that is a failure."""
        try:
            found = await told
        except UpstreamError:
            self._blame(worker)
            raise
        if getattr(found, "status", 200) >= 300:
            self._blame(worker)
        return found

    async def _fill(self, request: UpstreamRequest) -> UpstreamResponse | None:
        """Has the prompt read. None when that was done, else what was said against it."""
        response = await _send(self.prefill, request)
        if response.status >= 300:
            return response
        try:
            while await response.read():
                pass
        finally:
            response.close()
        self._prefilled()
        return None

    def _with_room(self, body: bytes) -> tuple[bytes, bytes]:
        """The two bodies: where to meet, and which rank is meant."""
        member = self.prefill.station.member
        host, port = urlsplit(member.key).hostname, member.settings.bootstrap_port
        number = _prompts(body)
        rooms = [secrets.randbits(63) for _ in range(number or 1)]
        met: dict[str, Any] = {"bootstrap_host": host, "bootstrap_port": port, "bootstrap_room": rooms[0]}
        if number is not None:
            met = {"bootstrap_host": [host] * number, "bootstrap_port": [port] * number, "bootstrap_room": rooms}
        for name, value in met.items():
            body = put_member(body, name, msgspec.json.encode(value))
        first = second = body
        if self.prefill.rank is not None:
            rank = msgspec.json.encode(self.prefill.rank)
            first = put_member(first, "routed_dp_rank", rank)
            second = put_member(second, "disagg_prefill_dp_rank", rank)
        if self.decode.rank is not None:
            second = put_member(second, "routed_dp_rank", msgspec.json.encode(self.decode.rank))
        return first, second


async def _send(worker: Worker, request: UpstreamRequest) -> UpstreamResponse:
    return await worker.client.send(request if worker.variation is None else worker.variation.of(request))


_BATCHED = (("text", b'"'), ("prompt", b'"['), ("input_ids", b"["))
"""The members in which several prompts may be given, each with what the first item then begins with: a list of numbers
is one prompt."""
_MOST_PROMPTS = 4096
"""Of one request; the engines are asked for as many meetings."""


def _prompts(body: bytes) -> int | None:
    """How many prompts a request holds that has them in a list; None where it is one prompt, or a conversation."""
    try:
        found = members(body)
        for name, begins in _BATCHED:
            member = found.get(name)
            if member is None or body[member.value : member.value + 1] != b"[":
                continue
            listed = items(body, member.value, member.end)
            if listed and body[listed[0].start] in begins:
                return _sound(len(listed))
    except (AmbiguousError, msgspec.DecodeError):
        return None
    return None


def _sound(number: int) -> int:
    if number > _MOST_PROMPTS:
        raise ClientError(f"at most {_MOST_PROMPTS} prompts can be served in one request here", param="prompt")
    return number


def _one(body: bytes) -> bytes:
    """``body`` asking for the prompt to be read and one token."""
    for name, value in _ONE_TOKEN.items():
        body = put_member(body, name, value)
    for name, value in _NOT_FOR_ONE.items():
        if name.encode() in body and member_span(body, name):
            body = put_member(body, name, value)
    return body


async def _read_handover(response: UpstreamResponse) -> bytes:
    body = b""
    try:
        while more := await response.read():
            body += more
            if len(body) > _LIMIT:
                break
        handover = bytes(msgspec.json.decode(body, type=_Handover).kv_transfer_params)
    except (msgspec.DecodeError, UnicodeDecodeError):
        handover = b"null"
    finally:
        response.close()
    if handover == b"null":
        raise UpstreamError(
            "the prefill worker handed nothing over", cause=Cause.CONTENT, code="upstream_invalid_answer"
        )
    return handover


def _is_good(task: "asyncio.Future[UpstreamResponse]") -> bool:
    return task.done() and not task.cancelled() and task.exception() is None and task.result().status < 300


def _drop(task: "asyncio.Future[Any]") -> None:
    """Lets go of a request, whatever has come of it."""
    task.cancel()
    task.add_done_callback(_let_go)


def _let_go(task: "asyncio.Future[Any]") -> None:
    if not task.cancelled() and task.exception() is None and (response := task.result()) is not None:
        response.close()
