"""A form with files on its way through: sent on while it arrives, and not held in memory.

It is read ahead until its model is known. SDKs put that before the files, so little is kept then; where it comes last,
what came before waits in a temporary file. As long as nothing of the body was let go it can be sent anew.

That a caller leaves is told behind all that it sent before. So where nobody takes the body for a while (it waits for a
place, the upstream does not read), it is received nevertheless, up to a limit.
"""

import asyncio
import tempfile
from collections.abc import Coroutine
from typing import IO, Any

from asgi_llm.dialects.forwarded.form import FormReader, boundary_of
from asgi_llm.errors import Cause, ClientError, Kind, UpstreamError
from asgi_llm.exchange import Caller, CallerGone
from asgi_llm.runtime import Runtime

__all__ = ["Upload", "open_upload"]

_KEPT = 1024 * 1024
"""Bytes kept in memory."""
_PIECE = 256 * 1024
_PATIENCE = 0.25
"""Seconds in which nobody takes it, after which it is received all the same."""
_AHEAD = 32 * 1024 * 1024
"""Bytes received so: more than a caller's and a server's sockets hold of one that has left."""
_WANTED = ("model", "stream", "stream_format")


class Upload:
    """Implements ``upstream.interface.BodySource``.

    Attributes:
        content_type: the form's, which names its boundary.
        length: the bytes that are sent, or None.
        spent: part of it was sent and is not there any more.
    """

    __slots__ = (
        "_at", "_caller", "_closed", "_declared", "_edit", "_ended", "_failed", "_file", "_form", "_kept", "_kept_size",
        "_last", "_limits", "_listening", "_received", "_runtime", "_task", "content_type", "length", "spent",
    )  # fmt: skip

    def __init__(self, runtime: Runtime, caller: Caller, content_type: bytes, length: int | None) -> None:
        self._runtime = runtime
        self._caller = caller
        self._limits = runtime.blueprint.settings.limits
        self._task = asyncio.current_task()
        self._listening: asyncio.Task[None] | None = None
        self._failed: Exception | None = None
        self._closed = False
        self._form = FormReader(boundary_of(content_type), _WANTED)
        self._kept = bytearray()
        self._file: IO[bytes] | None = None
        self._kept_size = 0
        self._last = b""
        """The last piece, while its end is waited for."""
        self._received = 0
        self._ended = False
        self._at = 0
        self._edit: tuple[int, int, bytes] | None = None
        self.content_type = content_type
        self.length = self._declared = length
        self.spent = False

    async def read_ahead(self, *, model: bool) -> None:
        """Until the model is known, if ``model`` says that one is looked for, or nothing more comes.

        Raises:
            ClientError, CallerGone, HostRefusal: see ``read``.
        """
        while not self._ended and not self._form.over and (model and "model" not in self._form.fields):
            await _surely(self._keep(await self._receive()))
        self._rest()

    def field(self, name: str) -> str:
        """What is known of a field; empty where it was not seen.

        Raises:
            ClientError: it is no UTF-8.
        """
        found = self._form.fields.get(name)
        try:
            return "" if found is None else found.value.decode("utf-8").strip()
        except UnicodeDecodeError:
            raise ClientError(f"{name} is not UTF-8", param=name) from None

    def rename(self, model: str) -> None:
        """Has ``model`` stand in the form, where it names one."""
        found = self._form.fields.get("model")
        if found is None:
            return
        before = 0 if self._edit is None else len(self._edit[2]) - (self._edit[1] - self._edit[0])
        self._edit = (found.start, found.end, model.encode("utf-8"))
        if self.length is not None:
            self.length += len(self._edit[2]) - (found.end - found.start) - before

    def begin(self) -> None:
        """See ``BodySource.begin``."""
        if self.spent:
            raise UpstreamError("the upload was broken off and cannot be sent again", cause=Cause.RESET)
        self._at = 0

    async def read(self) -> bytes:
        """See ``BodySource.read``.

        Raises:
            ClientError: too large, too slow, or no sound form.
            CallerGone: it left.
            HostRefusal: the host does not let the body be read.
        """
        self._runtime.lookout.remove(self)
        if self._listening is not None:
            await self._stop_listening()
        if self._failed is not None:
            raise self._failed
        piece = await self._next()
        self._rest()
        return piece

    async def _next(self) -> bytes:
        if (edit := self._edit) is not None and self._at <= edit[0]:
            if self._at < edit[0]:
                return await self._stored(edit[0])
            self._at = edit[1]
            if edit[2]:
                return edit[2]
        if self._at < self._kept_size:
            return await self._stored(self._kept_size)
        if self.spent:
            self._drop()
            return await self._receive()
        piece = await self._receive()
        if self._file is None and self._kept_size + len(piece) <= _KEPT:
            self._kept += piece
            self._kept_size += len(piece)
            self._at = self._kept_size
        elif piece:
            self.spent = True
            self._drop()
        return piece

    def is_taking_long(self) -> None:
        """Told by the lookout: nobody takes it."""
        self._listening = self._runtime.spawn(self._listen(), "upload watch")

    async def _listen(self) -> None:
        await asyncio.sleep(_PATIENCE)
        try:
            while not self._ended and self._kept_size - self._at < _AHEAD:
                await _surely(self._keep(await self._receive()))
        except CallerGone:
            if self._task is not None:
                self._task.cancel()
        except Exception as error:  # noqa: BLE001  # whatever it is, it is for whoever reads on
            self._failed = error

    async def _stop_listening(self) -> None:
        if self._listening is not None:
            self._listening.cancel()
            await asyncio.wait((self._listening,))
            self._listening = None

    def _rest(self) -> None:
        """Until it is read again."""
        if not (self._ended or self._closed):
            self._runtime.lookout.add(self)

    def close(self) -> None:
        """Takes back what it holds, and does not listen any more."""
        self._closed = True
        self._runtime.lookout.remove(self)
        if self._listening is not None and not self._listening.done():
            # It may be writing to the file, or opening it, in a thread: it ends when that has ended.
            self._listening.cancel()
            self._listening.add_done_callback(lambda _ended: self._drop())
        else:
            self._drop()

    async def _receive(self) -> bytes:
        """The next piece that is not empty; b"" at the end."""
        while not self._ended:
            try:
                async with asyncio.timeout(self._limits.upload_idle or None):
                    piece, more = (self._last, True) if self._last else await self._caller.piece()
                    if more and self._received + len(piece) == self._declared:
                        # The end follows; it must be heard, for whoever sends on looks no further than the length.
                        self._last = piece
                        rest, more = await self._caller.piece()
                        piece, self._last = piece + rest, b""
            except TimeoutError:
                raise ClientError(
                    "the body came too slowly", code="upload_timeout", kind=Kind.REQUEST_TIMEOUT
                ) from None
            self._ended = not more
            self._received += len(piece)
            if self._received > self._limits.upload:
                raise _too_large(self._limits.upload)
            self._form.feed(piece)
            if self._ended and not self._form.over:
                raise ClientError("the form ends before its last boundary", code="invalid_form")
            if piece:
                return piece
        return b""

    async def _keep(self, piece: bytes) -> None:
        if self._file is None and self._kept_size + len(piece) > _KEPT:
            self._file = await asyncio.to_thread(_open_file, bytes(self._kept))
            self._kept = bytearray()
        if self._file is None:
            self._kept += piece
        else:
            await asyncio.to_thread(_write, self._file, self._kept_size, piece)
        self._kept_size += len(piece)

    async def _stored(self, end: int) -> bytes:
        """Of what was kept, the next bytes up to ``end``."""
        size = min(_PIECE, end - self._at)
        if self._file is None:
            piece = bytes(memoryview(self._kept)[self._at : self._at + size])
        else:
            piece = await asyncio.to_thread(_read, self._file, self._at, size)
        self._at += len(piece)
        return piece

    def _drop(self) -> None:
        """What was kept is not needed any more."""
        if self._file is not None:
            self._file.close()
            self._file = None
        self._kept = bytearray()
        self._kept_size = self._at = 0
        self._edit = None


async def open_upload(runtime: Runtime, caller: Caller, *, model: bool) -> Upload:
    """The form that ``caller`` sends, read until its model is known.

    Raises:
        ClientError: no form, too large, compressed.
        CallerGone, HostRefusal: see ``Upload.read``.
    """
    fields = caller.fields
    limit = runtime.blueprint.settings.limits.upload
    declared = fields.get(b"content-length", b"")
    length = None
    if declared.isdigit():
        # An absurdly long number must not be parsed at all: that takes quadratic time.
        if len(declared) > 18 or int(declared) > limit:
            raise _too_large(limit)
        length = int(declared)
    if fields.get(b"content-encoding", b"identity").strip().lower() != b"identity":
        raise ClientError(
            "forms are taken as they are, not compressed",
            code="unsupported_content_encoding",
            param="content-encoding",
            kind=Kind.UNSUPPORTED_MEDIA_TYPE,
        )
    upload = Upload(runtime, caller, fields.get(b"content-type", b""), length)
    try:
        await upload.read_ahead(model=model)
    except BaseException:
        upload.close()
        raise
    return upload


async def _surely(work: Coroutine[Any, Any, None]) -> None:
    """Waits for ``work`` to its end, also where it is cancelled meanwhile."""
    task = asyncio.ensure_future(work)
    try:
        await asyncio.shield(task)
    except asyncio.CancelledError:
        await asyncio.wait((task,))
        raise


def _too_large(limit: int) -> ClientError:
    return ClientError(f"the body is larger than {limit} bytes", code="request_too_large", kind=Kind.TOO_LARGE)


def _open_file(begun: bytes) -> IO[bytes]:
    file = tempfile.TemporaryFile(prefix="asgi-llm-")  # noqa: SIM115  # closed with the upload
    file.write(begun)
    return file


def _write(file: IO[bytes], at: int, data: bytes) -> None:
    file.seek(at)
    file.write(data)


def _read(file: IO[bytes], at: int, size: int) -> bytes:
    file.seek(at)
    return file.read(size)
