"""Feeds the dialects inputs that are nearly right.

    python tests/fuzz/run.py                                      # 200,000 inputs for each dialect
    python tests/fuzz/run.py --count 5000 --dialect messages      # fewer, for one
    python tests/fuzz/run.py --dialect messages --seed 1 --index 12345    # one input again

An input is made of the seed, the dialect and its index, from the corpus whose digest is printed. Requests are decoded
and written in every dialect, answers and streams are read and told to callers of every dialect, errors and usage are
read; watchers, filters and splices see what they would see. Only the errors that are named for it may be raised, what
is written must be legal, and no input may take longer than a second.
"""

import argparse
import sys
import time
import traceback
import zlib
from collections import Counter
from random import Random

from fuzzing.corpus import DIALECTS, corpus_of
from fuzzing.guard import TooSlowError, limited
from fuzzing.targets import Input, make, try_out, warm_up

SECONDS = 1.0
"""Of the processor, for one input."""
LARGEST = 500_000
"""Bytes of an input."""
SHOWN = 5000
"""Characters of an input that failed."""


def made(dialect: str, seed: int, index: int) -> Input:
    given = make(dialect, corpus_of(dialect), Random(f"{seed}:{dialect}:{index}"))
    given.data = given.data[:LARGEST]
    return given


def wrong_with(dialect: str, given: Input) -> str | None:
    """What goes wrong with an input. What is random about trying it out depends on its bytes alone."""
    try:
        with limited(SECONDS):
            try_out(DIALECTS[dialect], given, Random(zlib.crc32(given.data)))
    except (Exception, TooSlowError):
        return traceback.format_exc()
    return None


def shown(given: Input) -> str:
    said = repr(given.data)
    more = f" ... ({len(given.data)} bytes)" if len(said) > SHOWN else ""
    return f"{given.kind} {given.status} {given.headers} {said[:SHOWN]}{more}"


def fuzz(dialect: str, seed: int, first: int, count: int, most: int) -> int:
    """Tries ``count`` inputs, at most until ``most`` failed; the number of failures."""
    print(f"{dialect}: corpus {corpus_of(dialect).digest}, seed {seed}", flush=True)
    begun = told = time.monotonic()
    kinds: Counter[str] = Counter()
    failures = 0
    for index in range(first, first + count):
        given = made(dialect, seed, index)
        kinds[given.kind] += 1
        if (wrong := wrong_with(dialect, given)) is not None:
            failures += 1
            print(f"FAILED: --dialect {dialect} --seed {seed} --index {index}\n{shown(given)}\n{wrong}", flush=True)
            if failures == most:
                break
        if time.monotonic() - told > 5:
            told = time.monotonic()
            print(f"{dialect}: {kinds.total()} of {count}, {told - begun:.0f} s, {failures} failed", flush=True)
    seen = ", ".join(f"{number} {kind}" for kind, number in sorted(kinds.items()))
    print(
        f"{dialect}: {kinds.total()} inputs ({seen}), {time.monotonic() - begun:.1f} s, {failures} failed", flush=True
    )
    return failures


def main() -> int:
    parser = argparse.ArgumentParser(description="Feeds the dialects inputs that are nearly right.")
    parser.add_argument("--count", type=int, default=200_000, help="inputs for each dialect")
    parser.add_argument("--dialect", choices=[*DIALECTS], action="append", help="may be given more than once")
    parser.add_argument("--seed", type=int, default=1)
    parser.add_argument("--first", type=int, default=0, help="the index to begin with")
    parser.add_argument("--index", type=int, help="only this input")
    parser.add_argument("--failures", type=int, default=1, help="stop a dialect after so many")
    told = parser.parse_args()
    dialects = told.dialect or [*DIALECTS]
    warm_up()
    first, count = (told.first, told.count) if told.index is None else (told.index, 1)
    failures = sum(fuzz(dialect, told.seed, first, count, told.failures) for dialect in dialects)
    return min(failures, 1)


if __name__ == "__main__":
    sys.exit(main())
