"""Compares the balancing policies on simulated agents: `python benchmarks/routing/run.py`. Takes about a minute.

Prints its tables and writes them to RESULTS.md. Leaves with status 1 if cache_aware or consistent_hash misses the goal.
"""

import argparse
import random
import sys
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from statistics import fmean

HERE = Path(__file__).resolve().parent
sys.path.insert(0, str(HERE.parents[1]))

from simulate import Make, Outcome, Simulation, Site, pooled  # noqa: E402  # the path comes first
from traffic import Conversation, Shape, Writer  # noqa: E402
from workers import Speed, View, Worker, blocks  # noqa: E402

from asgi_llm.routing.balance.interface import Facts, Policy  # noqa: E402
from asgi_llm.routing.balance.registry import POLICIES, build  # noqa: E402

HIT_GOAL = 0.95
IMBALANCE_GOAL = 1.3
HELD_TO_THE_GOAL = ("cache_aware", "consistent_hash")
MORE_SEEDS = 3
DRAWS = 100
BY_SESSION = ("consistent_hash", "sticky")
FAST = Speed(prefill=180_000.0)


@dataclass(frozen=True, slots=True)
class Scene:
    name: str
    site: Site
    shape: Shape


MAIN = Scene("8 workers, 4 processes", Site(), Shape())
OTHERS = (
    Scene("three times the traffic, three times as fast", Site(speed=FAST), Shape(every=0.2)),
    Scene("a fourth of the traffic", Site(), Shape(conversations=350, every=2.0)),
    Scene("one process", Site(processes=1), Shape(conversations=350)),
    Scene("a fourth of the cache", Site(capacity=1_500_000, speed=FAST), Shape(conversations=350)),
    Scene("3 workers, 2 processes", Site(workers=3, processes=2), Shape(conversations=350, every=1.3)),
    Scene("24 workers", Site(workers=24), Shape(every=0.2)),
    Scene("24 workers, three times as long", Site(workers=24), Shape(conversations=2100, every=0.2)),
)


class Oracle(Policy):
    """Sees the real caches, and all requests of all processes: to the most cached, of equals to the least loaded."""

    def __init__(self, workers: list[Worker]) -> None:
        self._workers = workers

    def pick(self, candidates: Sequence[View], facts: Facts) -> View:
        prompt = blocks(facts.text().text)
        return min(candidates, key=lambda view: (-view.worker.cache.hits(prompt), view.worker.running))


def named(name: str) -> Make:
    return lambda clock, random, _workers: build(name, clock=clock, random=random)


def rows(scene: Scene, seed: int) -> Iterator[tuple[str, Outcome]]:
    """Every policy in the main scene."""
    conversations = Writer(seed, scene.shape).conversations()
    yield "all caches in one", Simulation(pooled(scene.site), named("round_robin"), seed).run(conversations)
    yield "greedy, sees all caches", Simulation(scene.site, lambda _c, _r, w: Oracle(w), seed).run(conversations)
    for name in POLICIES:
        # Without a session sticky is the policy it is given for that case.
        if name != "sticky":
            yield name, Simulation(scene.site, named(name), seed).run(conversations)
    for name in BY_SESSION:
        site = replace(scene.site, sessions=True)
        yield f"{name}, sessions named", Simulation(site, named(name), seed).run(conversations)


@dataclass(frozen=True, slots=True)
class Compared:
    """The best hit rate in a scene, the imbalance that luck makes there, and how the policies do that are held to the
    goal."""

    best: float
    luck: float
    outcomes: list[Outcome]


def compare(scene: Scene, seed: int) -> Compared:
    conversations = Writer(seed, scene.shape).conversations()
    best = Simulation(pooled(scene.site), named("round_robin"), seed).run(conversations).hit_rate
    outcomes = [Simulation(scene.site, named(name), seed).run(conversations) for name in HELD_TO_THE_GOAL]
    return Compared(best, luck(conversations, scene.site, seed), outcomes)


def luck(conversations: list[Conversation], site: Site, seed: int) -> float:
    """The imbalance where every conversation stays at one worker, whichever, on average."""
    draw = random.Random(seed)
    lengths = [length for conversation in conversations for length in answers(conversation)]
    found = []
    for _ in range(DRAWS):
        works = [0] * site.workers
        for length in lengths:
            works[draw.randrange(site.workers)] += length
        found.append(max(works) / fmean(works))
    return fmean(found)


def answers(conversation: Conversation) -> Iterator[int]:
    """How much is answered in a conversation, and in each of its helpers'."""
    yield sum(len(turn.answer) for turn in conversation.turns)
    for turn in conversation.turns:
        if turn.helper is not None:
            yield from answers(turn.helper)


def short_line(name: str, told: Compared) -> str:
    cells = [f"{outcome.hit_rate / told.best:.1%} | {outcome.imbalance:.2f}" for outcome in told.outcomes]
    return f"| {name} | {told.best:.1%} | {told.luck:.2f} | {' | '.join(cells)} |"


def line(name: str, outcome: Outcome, best: float) -> str:
    return (
        f"| {name} | {outcome.hit_rate:.1%} | {outcome.hit_rate / best:.1%} | {outcome.imbalance:.2f} | "
        f"{outcome.peak:.2f} | {outcome.work:.2f} | {outcome.first * 1000:.0f} | {outcome.slow * 1000:.0f} |"
    )


def judge(place: int, name: str, runs: list[Compared], say: Callable[[str], None]) -> bool:
    """Whether every seed meets the goal."""
    hits = [told.outcomes[place].hit_rate / told.best for told in runs]
    imbalances = [told.outcomes[place].imbalance for told in runs]
    good = min(hits) >= HIT_GOAL and max(imbalances) < IMBALANCE_GOAL
    say(
        f"* {name}: {'met' if good else 'missed'}. Of the best {fmean(hits):.1%} (worst {min(hits):.1%}), "
        f"imbalance {fmean(imbalances):.2f} (worst {max(imbalances):.2f})."
    )
    return good


def main() -> int:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--seed", type=int, default=1)
    parser.add_argument("--output", type=Path, default=HERE / "RESULTS.md")
    arguments = parser.parse_args()
    written: list[str] = []

    def say(text: str) -> None:
        print(text, flush=True)
        written.append(text)

    say(f"# Balancing policies on simulated agents\n\n`python benchmarks/routing/run.py --seed {arguments.seed}`\n")
    say(EXPLANATION)
    say(f"## {MAIN.name}\n")
    say("| policy | hit rate | of the best | imbalance | peak | prefill | first token, ms | 95th, ms |")
    say("|---|---|---|---|---|---|---|---|")
    outcomes = dict(rows(MAIN, arguments.seed))
    best = next(iter(outcomes.values())).hit_rate
    for name, outcome in outcomes.items():
        say(line(name, outcome, best))
    heads = " | ".join(f"{name}: of the best | imbalance" for name in HELD_TO_THE_GOAL)
    say(f"\n## Other traffic, other sites\n\n| | best hit rate | luck | {heads} |\n|---|---|---|---|---|---|---|")
    drawn = luck(Writer(arguments.seed, MAIN.shape).conversations(), MAIN.site, arguments.seed)
    runs = [Compared(best, drawn, [outcomes[name] for name in HELD_TO_THE_GOAL])]
    for seed in range(arguments.seed + 1, arguments.seed + 1 + MORE_SEEDS):
        runs.append(compare(MAIN, seed))
        say(short_line(f"the same with seed {seed}", runs[-1]))
    for scene in OTHERS:
        say(short_line(scene.name, compare(scene, arguments.seed)))
    say(f"\n## The goal, over {len(runs)} seeds of {MAIN.name}\n")
    good = [judge(place, name, runs, say) for place, name in enumerate(HELD_TO_THE_GOAL)]
    arguments.output.write_text("\n".join(written) + "\n")
    return 0 if all(good) else 1


EXPLANATION = f"""\
Agents with long instructions that many conversations share, conversations of 12 turns on average, helpers that branch
off, and single questions about shared documents. Any of the gateway's processes may get any turn, and none knows of the
others. A worker has a prefix cache that forgets what was not used for the longest time. The workers, their speed and
the traffic are a model; nothing here was measured on an engine.

* hit rate: the share of all prompts, by characters, that was in the cache of the worker it was sent to.
* of the best: beside one cache that holds as much as all workers' together.
* imbalance: requests in flight at the busiest worker, averaged over the run, beside the mean of all workers.
* peak: the same, moment by moment. prefill: the same for the time spent on prompts.
* first token: from the arrival of a request, the mean and the 95th percentile.
* luck: the imbalance where every conversation stays at one worker, whichever. Some are sixty turns long, and the fewer
  of them there are for each worker, the less they even out: forty for each of 24 workers. To do better,
  conversations must move, and leave what is in the cache.

Goal for {" and ".join(HELD_TO_THE_GOAL)}, with every seed: {HIT_GOAL:.0%} of the best hit rate or more, and an
imbalance below {IMBALANCE_GOAL}. Luck differs much from seed to seed.
The defaults of the two policies were chosen while looking at seeds 1 to 4 of the first site.
"""

if __name__ == "__main__":
    raise SystemExit(main())
