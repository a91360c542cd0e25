"""What callers send: agents whose conversations grow turn by turn, and single questions about shared documents.

Everything comes from one seed. Who says what does not depend on how fast it is answered, so that every policy meets
the same conversations; when the next turn comes does, because a caller waits for the answer.
"""

import random
from dataclasses import dataclass

from asgi_llm.routing.text import RoutingText

VOCABULARY = (
    "the model gateway routes a request by its name and streams tokens back while the worker keeps the prefix in its "
    "cache edit the file run tests read this function return value line error path user system agent tool result"
)
WORDS = VOCABULARY.split(" ")


@dataclass(frozen=True, slots=True, kw_only=True)
class Shape:
    """
    Attributes:
        conversations: how many begin.
        every: seconds between two of them, on average.
        agents: kinds of agents, each with instructions of its own; a few kinds are used much more than the others.
        singles: the share of conversations that are one question about a document that others ask about, too.
        forks: the share of turns after which a helper goes on beside the conversation, from what was said so far.
    """

    conversations: int = 700
    every: float = 0.55
    agents: int = 12
    documents: int = 40
    singles: float = 0.25
    forks: float = 0.04
    mean_turns: float = 12.0


@dataclass(frozen=True, slots=True)
class Turn:
    """
    Attributes:
        said: what the caller adds, in characters of its own.
        answer: what the model answers.
        pause: seconds from the answer before to this turn.
        helper: a conversation that begins with all that stands before this turn's answer.
    """

    said: str
    answer: str
    pause: float
    helper: "Conversation | None" = None


@dataclass(frozen=True, slots=True)
class Conversation:
    """
    Attributes:
        start: seconds; a helper's counts from the end of the turn that calls it.
        before: what its first request holds before the first turn: instructions; with a helper all that was said.
        opening: characters up to the end of the first turn that anybody took.
    """

    number: int
    start: float
    before: str
    opening: int
    turns: tuple[Turn, ...]

    def texts(self) -> list[RoutingText]:
        """The text of each request."""
        found = []
        text = self.before
        for turn in self.turns:
            text = f"{text}\n{turn.said}"
            found.append(RoutingText(text, self.opening))
            text = f"{text}\n{turn.answer}"
        return found


class Writer:
    """Makes texts and conversations from one seed."""

    def __init__(self, seed: int, shape: Shape) -> None:
        self._random = random.Random(seed)
        self._shape = shape
        self._number = 0
        self._instructions = [self._text(self._random.randint(8_000, 24_000)) for _ in range(shape.agents)]
        self._documents = [self._text(self._random.randint(6_000, 30_000)) for _ in range(shape.documents)]

    def conversations(self) -> list[Conversation]:
        found = []
        now = 0.0
        for _ in range(self._shape.conversations):
            now += self._random.expovariate(1 / self._shape.every)
            single = self._random.random() < self._shape.singles
            found.append(self._single(now) if single else self._conversation(now))
        return found

    def _single(self, start: float) -> Conversation:
        turn = Turn(self._text(200), self._text(self._length(600)), 0.0)
        document = self._popular(self._documents)
        return self._numbered(start, document, len(document) + 1 + len(turn.said), (turn,))

    def _conversation(self, start: float) -> Conversation:
        number = min(1 + int(self._random.expovariate(1 / self._shape.mean_turns)), 60)
        instructions = self._popular(self._instructions)
        text = instructions
        opening = 0
        turns = []
        for index in range(number):
            said = self._text(self._length(2_500))
            answer = self._text(self._length(900))
            # Most pauses are a tool that runs; now and then somebody reads and thinks.
            pause = self._random.expovariate(1 / (30 if self._random.random() < 0.15 else 2)) if index else 0.0
            opening = opening or len(text) + 1 + len(said)
            helper = None
            if index and self._random.random() < self._shape.forks:
                helper = self._helper(f"{text}\n{said}", opening)
            turns.append(Turn(said, answer, pause, helper))
            text = f"{text}\n{said}\n{answer}"
        return self._numbered(start, instructions, opening, tuple(turns))

    def _helper(self, text: str, opening: int) -> Conversation:
        turns = tuple(
            Turn(self._text(self._length(2_000)), self._text(self._length(700)), self._random.expovariate(0.5))
            for _ in range(self._random.randint(2, 5))
        )
        return self._numbered(0.0, text, opening, turns)

    def _numbered(self, start: float, before: str, opening: int, turns: tuple[Turn, ...]) -> Conversation:
        self._number += 1
        return Conversation(self._number, start, before, opening, turns)

    def _popular(self, texts: list[str]) -> str:
        """One of them, the first ones much more often: by Zipf's law."""
        weights = [1 / (place + 1) for place in range(len(texts))]
        return self._random.choices(texts, weights)[0]

    def _length(self, mean: float) -> int:
        return max(20, min(int(self._random.lognormvariate(0, 1) * mean * 0.6), 40_000))

    def _text(self, length: int) -> str:
        """Words, with a number now and then so that no two texts share a long beginning by chance."""
        head = f"{self._random.getrandbits(48):x} "
        words = self._random.choices(WORDS, k=length // 5 + 1)
        return (head + " ".join(words))[:length]
