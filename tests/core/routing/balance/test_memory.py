"""What is remembered for the choice of workers is bounded: a million different prompts of a million sessions leave as
much behind as the last ones of them."""

import subprocess
import sys

import pytest

SCRIPT = """
from asgi_llm.routing.balance.cache_aware import CacheAwareOptions
from asgi_llm.routing.balance.interface import Facts, Keys
from asgi_llm.routing.balance.registry import build
from asgi_llm.routing.text import RoutingText

class Worker:
    weight, load = 1.0, 0
    def __init__(self, key): self.key = key

def resident():
    with open("/proc/self/statm") as pages:
        return int(pages.read().split()[1]) * 4096

workers = Worker("http://one"), Worker("http://two")
policy = build("sticky", clock=lambda: 0.0, random=lambda: 0.5)  # and cache_aware behind it
prompts = 1_000_000
most = [0, 0]  # in the first half of them, and in the second: tables that grow and shrink make it go up and down
for number in range(prompts):
    text = f"{number:0160d}"
    found, keys = RoutingText(text, 160), Keys((), (text,))
    facts = Facts("m", 160, lambda: found, lambda: keys)
    policy.sent(workers[number & 1], facts)
    if number % 10_000 == 0:
        most[2 * number // prompts] = max(most[2 * number // prompts], resident())
tree, options = policy._otherwise.tree, CacheAwareOptions()
assert len(policy) == 100_000, len(policy)
assert 0 < len(tree) <= options.max_nodes + 1, len(tree)
assert 0 < tree.prints <= options.max_prints, tree.prints
print(most[0] >> 20, most[1] - most[0] >> 20)
"""


@pytest.mark.once
@pytest.mark.skipif(not sys.platform.startswith("linux"), reason="the size of a process is read from /proc")
def test_a_million_different_prompts_take_no_more_memory_than_the_first_half() -> None:
    done = subprocess.run([sys.executable, "-c", SCRIPT], capture_output=True, text=True, check=False, timeout=300)
    assert done.returncode == 0, done.stderr
    kept, grown = map(int, done.stdout.split())
    assert kept < 300
    assert grown < 24  # one thing kept for each prompt would be some hundred
