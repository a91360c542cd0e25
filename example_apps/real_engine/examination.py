"""Talks to a model through the gateway with every SDK, and looks at what comes back."""

import json
import queue
import time
import urllib.request
from typing import Any

import anthropic
import openai
from talks import SDKS, Said, Turn

from asgi_llm import Exchange

__all__ = ["TARGETS", "Examination", "say"]

QUESTION = "Tell me of the river by night."
WEATHER = {
    "name": "get_weather",
    "description": "The weather in a city for some days.",
    "parameters": {
        "type": "object",
        "properties": {
            "city": {"type": "string", "enum": ["Oslo", "Rome", "Lima"]},
            "days": {"type": "integer", "minimum": 1, "maximum": 3},
        },
        "required": ["city", "days"],
        "additionalProperties": False,
    },
}
TARGETS = {
    "tiny": ["chat"],
    "tiny-messages": ["messages"],
    "tiny-responses": ["responses"],
    "tiny-native": ["chat", "messages", "responses"],
}
"""Names of the gateway's targets, and the dialects in which it may speak to the engine."""
FINISHED = {"chat": "stop", "messages": "end_turn", "responses": "completed"}
CALLED = {"chat": "tool_calls", "messages": "tool_use", "responses": "completed"}


def say(line: str) -> None:
    print(line, flush=True)  # noqa: T201  # a script tells its user what it does


class Examination:
    """Talks to the gateway and gathers what is wrong with the answers."""

    def __init__(self, url: str, key: str, engine: str, engine_key: str, settled: queue.Queue[Exchange]) -> None:
        speaker = openai.OpenAI(base_url=f"{url}/v1", api_key=key, max_retries=0, timeout=60)
        self.clients: dict[str, Any] = {
            "chat": speaker,
            "responses": speaker,
            "messages": anthropic.Anthropic(base_url=url, api_key=key, max_retries=0, timeout=60),
        }
        self.engine, self.engine_key = engine, engine_key
        self.settled = settled
        self.wrong: list[str] = []
        self.place = ""

    def run(self) -> list[str]:
        for model, dialects in TARGETS.items():
            say(f"-- model {model}: the engine is spoken to in {', '.join(dialects)}")
            for dialect in SDKS:
                whole = self.talk(dialect, model, Turn(QUESTION), stream=False)
                streamed = self.talk(dialect, model, Turn(QUESTION), stream=True)
                self.expect(whole.text == streamed.text, "the stream says the same as the whole answer")
                self.expect(whole.thoughts == streamed.thoughts, "and thinks the same")
                for stream in (False, True):
                    self.call(dialect, model, stream)
                    self.overflow(dialect, model, stream)
        self.leave()
        for client in self.clients.values():
            client.close()
        return self.wrong

    def expect(self, holds: bool, what: str) -> None:
        if not holds:
            say(f"     WRONG, not so: {what}")
            self.wrong.append(f"{self.place}: {what}")

    def talk(self, dialect: str, model: str, turn: Turn, stream: bool) -> Said:
        """One question and its answer, which is shown and looked at; and what the gateway noted about it."""
        how = "streamed" if stream else "whole"
        kind = "result" if turn.said else "call" if turn.tools else "text"
        self.place = f"{model}, {dialect}, {how}, {kind}"
        begun = time.perf_counter()
        said = SDKS[dialect](self.clients[dialect], model, turn, stream)
        seconds = time.perf_counter() - begun
        exchange = self.settled.get(timeout=10)
        mode = exchange.leg.mode if exchange.leg else "none"
        say(f"   {dialect}, {how}, {mode}: {said.input} tokens in, {said.output} out, {seconds:.2f} s, {said.finish}")
        if stream:
            say(f"     {len(said.pieces)} pieces: {'|'.join(said.pieces)}")
        else:
            say(f"     thought:{said.thoughts}\n     said:{said.text}")
        for warned in exchange.warnings:
            say(f"     warned: {warned}")
        for call in said.calls:
            say(f"     called {call.name}({call.arguments})")
        self.examine(said, exchange, stream)
        if kind == "text":
            self.expect(bool(said.text.strip()), "something is said")
            self.expect(not stream or len(said.pieces) >= said.output // 2, "tokens come one by one")
        wanted = (CALLED if said.calls else FINISHED)[dialect]
        self.expect(said.finish == wanted, f"it ends with {wanted}, not {said.finish}")
        return said

    def examine(self, said: Said, exchange: Exchange, stream: bool) -> None:
        self.expect(bool(said.thoughts.strip()), "something is thought")
        self.expect(said.input > 0 and said.output > 0, "tokens are counted")
        if stream:
            everything = said.thoughts + said.text
            self.expect("".join(said.pieces).startswith(everything), "the pieces make up the whole")
        self.expect(exchange.outcome == "ok", f"the gateway notes a good end, not {exchange.outcome}")
        usage = exchange.usage
        noted = (usage.input, usage.output) if usage else None
        self.expect(noted == (said.input, said.output), f"the gateway notes the same tokens, not {noted}")

    def call(self, dialect: str, model: str, stream: bool) -> None:
        """A function is offered, must be called, and answers; then the model has the word again."""
        turn = Turn(QUESTION, tools=(WEATHER,), must_call=True)
        said = self.talk(dialect, model, turn, stream)
        self.expect(bool(said.calls), "the function is called")
        for call in said.calls:
            self.expect(call.name == "get_weather" and bool(call.id), "the call has a name and an id")
            good = call.arguments.get("city") in ("Oslo", "Rome", "Lima") and call.arguments.get("days") in (1, 2, 3)
            self.expect(good and len(call.arguments) == 2, f"the arguments keep to the schema: {call.arguments}")
        results = {call.id: "cold, with some rain" for call in said.calls}
        self.talk(dialect, model, Turn(QUESTION, (WEATHER,), False, said.own, results), stream)

    def overflow(self, dialect: str, model: str, stream: bool) -> None:
        """More is asked than the engine can hold: its refusal comes in the words of the caller's dialect."""
        self.place = f"{model}, {dialect}, {'streamed' if stream else 'whole'}, overflow"
        try:
            SDKS[dialect](self.clients[dialect], model, Turn(" river" * 9000), stream)
        except (openai.BadRequestError, anthropic.BadRequestError) as error:
            body: Any = error.body
            # The OpenAI SDK has unwrapped it.
            shown = body.get("error") if isinstance(error, anthropic.BadRequestError) else body
            say(f"   {dialect}: refused as it should be: {body}")
            self.expect(dialect != "messages" or body.get("type") == "error", "the error has the dialect's shape")
            self.expect("context size" in shown.get("message", ""), "the error says what the engine said")
        else:
            self.expect(False, "it is refused")
        self.settled.get(timeout=10)

    def leave(self) -> None:
        """Who stops reading stops the engine: the answer would take it many seconds."""
        self.place = "leaving"
        stream = self.clients["chat"].chat.completions.create(
            model="tiny",
            messages=[{"role": "user", "content": QUESTION}],
            max_tokens=7000,
            stream=True,
            extra_body={"ignore_eos": True},
        )
        for _ in range(3):
            next(stream)
        self.expect(self.busy() == 1, "the engine is at work")
        stream.close()
        left = time.perf_counter()
        exchange = self.settled.get(timeout=60)
        while self.busy() and time.perf_counter() < left + 60:
            time.sleep(0.01)
        seconds = time.perf_counter() - left
        say(f"   left after three chunks: {exchange.outcome}; the engine is idle after {seconds:.2f} s")
        self.expect(exchange.outcome == "disconnected", f"the gateway notes that the caller left: {exchange.outcome}")
        self.expect(seconds < 3, "the engine stops at once")

    def busy(self) -> int:
        """How many answers the engine works at."""
        asked = urllib.request.Request(f"{self.engine}/slots", headers={"authorization": f"Bearer {self.engine_key}"})
        with urllib.request.urlopen(asked, timeout=10) as answer:
            return sum(slot["is_processing"] for slot in json.load(answer))
