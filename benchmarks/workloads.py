"""What is sent: the body, the load, and the unit in which its price is counted."""

from dataclasses import dataclass


@dataclass(frozen=True, slots=True)
class Load:
    """How hard: connections in the closed loop (or concurrent streams), requests per second at the fixed rate."""

    connections: int
    rate: int = 0


@dataclass(frozen=True, slots=True)
class Workload:
    """A body sent to a path. With `chunks` every answer is a stream of that many (0: JSON, -1: it has no end)."""

    name: str
    title: str
    path: str
    body: str
    normal: Load
    heavy: Load  # for systems that could not carry the normal load
    chunks: int = 0
    ramp_ms: int = 0

    @property
    def streams(self) -> bool:
        return self.chunks != 0

    @property
    def endless(self) -> bool:
        """Streams that stay open for the whole round: what is measured is the memory that each of them holds."""
        return self.chunks < 0

    @property
    def unit(self) -> str:
        return "chunk" if self.streams else "request"

    def load(self, heavy: bool) -> Load:
        return self.heavy if heavy else self.normal


CHAT, MESSAGES = "/v1/chat/completions", "/v1/messages"

WORKLOADS = {
    workload.name: workload
    for workload in (
        Workload("json2k", "JSON, 2 KB", CHAT, "chat-2k", Load(32, 1000), Load(8, 50)),
        Workload("json157k", "JSON, 157 KB", CHAT, "chat-157k", Load(16, 200), Load(4, 20)),
        Workload("burst", "stream, back to back", CHAT, "chat-burst", Load(16), Load(4), chunks=200),
        Workload("paced", "streams, 10 ms", CHAT, "chat-paced", Load(100), Load(10), chunks=200, ramp_ms=1000),
        Workload("slow", "1000 slow streams", CHAT, "chat-slow", Load(1000), Load(50), chunks=-1, ramp_ms=1500),
        Workload("translated-json2k", "translated JSON, 2 KB", MESSAGES, "messages-2k", Load(32, 1000), Load(8, 50)),
        Workload(
            "translated-json157k", "translated JSON, 157 KB", MESSAGES, "messages-157k", Load(16, 200), Load(4, 20)
        ),
        Workload(
            *("translated-paced", "translated streams, 10 ms", MESSAGES, "messages-paced", Load(100), Load(10)),
            chunks=200,
            ramp_ms=1000,
        ),
    )
}
