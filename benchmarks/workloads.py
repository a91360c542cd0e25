"""What is sent: the body, the load, and the unit in which its price is counted."""

from dataclasses import dataclass, replace


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
    pair: str = ""  # the translation it asks for, one of PAIRS
    repeats: int = 1  # how often the caller gets each text: Responses says at its end again what it said

    @property
    def streams(self) -> bool:
        return self.chunks != 0

    @property
    def endless(self) -> bool:
        """Streams that stay open for the whole round: what is measured is the memory that each of them holds."""
        return self.chunks < 0

    @property
    def idle(self) -> bool:
        """Streams in which nothing happens: a price per chunk would say nothing."""
        return self.body.endswith("-idle")

    @property
    def unit(self) -> str:
        return "chunk" if self.streams else "request"

    def load(self, heavy: bool) -> Load:
        return self.heavy if heavy else self.normal


CHAT, MESSAGES, RESPONSES = "/v1/chat/completions", "/v1/messages", "/v1/responses"
GEMINI = "/v1beta/models/bench:generateContent"
GEMINI_STREAM = "/v1beta/models/bench:streamGenerateContent?alt=sse"
OWN = "/own"
"""Answered by the host itself: what the framework costs without the gateway."""

PAIRS = {
    "messages-chat": ("Messages to Chat", MESSAGES, MESSAGES, "messages"),
    "chat-messages": ("Chat to Messages", CHAT, CHAT, "claude"),
    "responses-chat": ("Responses to Chat", RESPONSES, RESPONSES, "responses"),
    "gemini-chat": ("Gemini to Chat", GEMINI, GEMINI_STREAM, "gemini"),
}
"""Translations: title, path, path of streams, and the first word of the names of their bodies."""


def _pair(name: str, title: str, path: str, stream_path: str, body: str) -> tuple[Workload, ...]:
    small = Workload("json2k", "JSON, 2 KB", path, f"{body}-2k", Load(32, 1000), Load(8, 50))
    large = Workload("json157k", "JSON, 157 KB", path, f"{body}-157k", Load(16, 200), Load(4, 20))
    burst = Workload("burst", "back to back", stream_path, f"{body}-burst", Load(16), Load(4), chunks=200)
    paced = Workload("paced", "10 ms", stream_path, f"{body}-paced", Load(100), Load(10), chunks=200, ramp_ms=1000)
    return tuple(
        replace(
            one,
            name=f"{name}-{one.name}",
            title=f"{title}, {one.title}",
            pair=name,
            repeats=5 if one.streams and body == "responses" else 1,
        )
        for one in (small, large, burst, paced)
    )


WORKLOADS = {
    workload.name: workload
    for workload in (
        Workload("json2k", "JSON, 2 KB", CHAT, "chat-2k", Load(32, 1000), Load(8, 50)),
        Workload("json157k", "JSON, 157 KB", CHAT, "chat-157k", Load(16, 200), Load(4, 20)),
        Workload("burst", "stream, back to back", CHAT, "chat-burst", Load(16), Load(4), chunks=200),
        Workload("paced", "streams, 10 ms", CHAT, "chat-paced", Load(100), Load(10), chunks=200, ramp_ms=1000),
        Workload("slow", "1000 slow streams", CHAT, "chat-slow", Load(1000), Load(50), chunks=-1, ramp_ms=1500),
        Workload("idle", "10,000 idle streams", CHAT, "chat-idle", Load(10_000), Load(200), chunks=-1, ramp_ms=10_000),
        Workload("own", "the host's own JSON, 2 KB", OWN, "chat-2k", Load(32), Load(8)),
        *(workload for name, pair in PAIRS.items() for workload in _pair(name, *pair)),
    )
}
