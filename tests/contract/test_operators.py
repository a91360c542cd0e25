"""What operators look at, below the same prefix: metrics, and the dashboard with the application's own users."""

import re
from typing import Any

CHAT = {"model": "echo", "messages": [{"role": "user", "content": "hi"}]}
SHOWN = {
    "auth": {"keys": [{"key": "k-1", "subject": "ci", "roles": ["admin"]}, {"key": "k-2", "subject": "ann"}]},
    "telemetry": {"metrics": True, "key": "scrape-me"},
    "dashboard": {"enabled": True},
}


async def test_metrics_and_the_dashboard(serve: Any) -> None:
    async with serve(SHOWN, prefix="/a/llm") as served:
        boss, other = {"authorization": "Bearer k-1"}, {"authorization": "Bearer k-2"}
        assert (await served.post("/v1/chat/completions", CHAT, headers=boss)).status_code == 200
        await served.settled(1)
        assert (await served.get("/metrics", headers=other)).status_code == 403
        for headers in (boss, {"authorization": "Bearer scrape-me"}):
            answer = await served.get("/metrics", headers=headers)
            assert answer.status_code == 200, answer.text
            assert 'asgi_llm_requests_total{endpoint="chat_completions"' in answer.text
        page = await served.get("/dashboard")
        assert page.status_code == 200
        for reference in re.findall(r'(?:href|src)="(dashboard/[^"]+)"', page.text):
            assert (await served.client.get(page.request.url.join(reference))).status_code == 200
        assert (await served.get("/dashboard/data", headers=other)).status_code == 403
        told = (await served.get("/dashboard/data", headers=boss)).json()
        assert told["totals"]["requests"] == 1
        assert [target["name"] for target in told["targets"]] == ["echo"]
