"""The admin's pages, by Django's test client: what staff see and do, and what they may not."""

import re
import time
from collections.abc import Callable, Iterator
from typing import Any

import pytest
from django.contrib.auth.models import Permission, User
from django.contrib.sessions.models import Session
from django.db import router
from django.test import Client

from asgi_llm.keys.token import digest_of
from asgi_llm.metering.row import Row
from asgi_llm.settings import QuotaMatch, QuotaSettings
from asgi_llm.stores.responses import ConversationRow, ItemRow, ResponseRow
from asgi_llm.stores.scope import Scope
from asgi_llm_django.admin.chart import chart
from asgi_llm_django.models import APIKey, Budget, Conversation, Price, QuotaHold, QuotaSpent, Response, Usage
from asgi_llm_django.stores import conversations, ledger, responses

KEPT: dict[str, Any] = {
    "store": {"url": "django"},
    "auth": {"issued": {}},
    "quotas": [
        {"name": "budget", "per": ["tenant"], "resource": "cost", "window": "lifetime", "limit": 2_000_000},
        {"name": "rush", "resource": "concurrency", "limit": 10},
    ],
    "responses": {"stateful": True},
}
DAY = 86_400_000
NOON = 1_795_262_400_000  # 2026-11-21
MODELS = (APIKey, Budget, Conversation, Price, QuotaHold, QuotaSpent, Response, Usage)


@pytest.fixture(autouse=True)
def kept(configured: Callable[..., None], project: Any) -> Iterator[None]:
    configured(KEPT)
    yield
    for model in (*MODELS, Session, User):
        model.objects.all().delete()


def staff(*permissions: str, superuser: bool = False) -> Client:
    user = User.objects.create(username=f"u{User.objects.count()}", is_staff=True, is_superuser=superuser)
    user.user_permissions.set(Permission.objects.filter(codename__in=permissions))
    client = Client(enforce_csrf_checks=False)
    client.force_login(user)
    return client


def page(client: Client, path: str, **query: Any) -> str:
    answer = client.get(f"/admin/asgi_llm/{path}", query)
    assert answer.status_code == 200, answer.status_code
    said = answer.content.decode()
    # What a strict Content-Security-Policy would not run or apply, Django's own pages do not have either.
    assert not re.search(r"<[^>]+ (style|onclick|onload)=|<style|<script>", said)
    return said


def rows() -> None:
    def row(number: int, **said: Any) -> Row:
        given = {
            "id": f"r{number}", "at": NOON + number, "tenant": "acme", "subject": "ann", "endpoint": "chat_completions",
            "dialect": "chat", "outcome": "ok", "model": "big", "target": "up", "fresh": 1000, "visible": 10,
        }  # fmt: skip
        return Row(**given | said)

    ledger.add_rows(
        router.db_for_write(Usage),
        [
            row(1, cost=1_500_000),
            row(2, cost=250_000, model="<small>", at=NOON - DAY, cache_read=7),
            row(3, outcome="denied", subject="bob", fresh=None, visible=None),
            row(4, cost=None, tenant="other"),
        ],
    )


def test_usage_with_totals_and_charts() -> None:
    rows()
    client = staff("view_usage")
    said = page(client, "usage/")
    assert "<td>$1.75</td>" in said
    assert re.findall(r"<td>([\d,]+)</td>", said)[:4] == ["4", "1", "3,007", "7"]
    assert said.count('class="asgi-llm-chart"') == 2
    assert "2026-11-20: &lt;small&gt; $0.25" in said
    assert "<small>" not in said
    assert "bob" in said
    narrowed = page(client, "usage/", q="bob")
    assert "asgi-llm-chart" not in narrowed
    assert "<td>$1.75</td>" not in narrowed
    assert "<td>$0.25</td>" in page(client, "usage/", day__year=2026, day__month=11, day__day=20)
    assert "<td>$1.50</td>" in page(client, "usage/", model="big", tenant="acme", outcome="ok", target="up")
    one = page(client, "usage/r1/change/")
    assert "1500000" in one
    assert 'name="_save"' not in one


def test_people_have_their_names() -> None:
    rows()
    ann = User.objects.create(username="ann-of-the-north")
    Usage.objects.filter(subject="ann").update(subject=f"user:{ann.pk}")
    Usage.objects.create(
        id="gone", at=NOON, day="2026-11-21", tenant="acme", subject="user:x", endpoint="e", outcome="ok"
    )
    Response.objects.create(tenant="t", subject=f"user:{ann.pk}", name="resp_1", created=1, expires=9e9, data=b"p{}")
    Budget.objects.create(name="daily", resource="tokens", window="day", per=["subject"], limit=10)
    account = f"daily/day@UTC/subject=user:{ann.pk},tenant=acme"
    QuotaSpent.objects.create(account=account, slot=2**40, amount=5, keep=9e9)
    client = staff("view_usage", "view_response", "view_budget")
    said = page(client, "usage/")
    link = f'<a href="/admin/auth/user/{ann.pk}/change/" title="user:{ann.pk}">ann-of-the-north</a>'
    assert said.count(link) == 3
    assert ">user:x<" in said
    Usage.objects.filter(pk="gone").update(subject=f"user:{10**30}")
    assert f">user:{10**30}<" in page(client, "usage/")
    Usage.objects.filter(pk="gone").update(subject="user:x")
    assert page(client, "usage/", q="the-north").count(link) == 3
    assert "user:x" not in page(client, "usage/", q="the-north")
    assert "user:x" not in page(client, "usage/", subject=f"user:{ann.pk}")
    assert link in page(client, "response/")
    for asked in ("the-north", f"user:{ann.pk}", ""):
        assert f"<td>ann-of-the-north (user:{ann.pk}), tenant acme</td>" in page(client, "budget/", q=asked)
    assert "tenant acme" not in page(client, "budget/", q="the-south")


def test_who_spends_most() -> None:
    rows()
    Usage.objects.filter(pk="r2").update(subject="bob")
    said = page(staff("view_usage"), "usage/")
    spenders = said[said.index("Who spends most") :]
    assert spenders.index("?subject=ann") < spenders.index("$1.50") < spenders.index("?subject=bob")
    assert spenders.index("?subject=bob") < spenders.index("$0.25")


def test_a_chart_has_a_bar_for_each_part_and_few_colours() -> None:
    amounts = {(day, f"m{n}"): n for day in ("2026-11-20", "2026-11-21") for n in range(12)}
    made = chart("Tokens", ["2026-11-20", "2026-11-21"], amounts, str)
    assert made is not None
    assert [(name, amount) for _, name, amount in made.legend] == [
        ("m11", "22"), ("m10", "20"), ("m9", "18"), ("m8", "16"), ("m7", "14"), ("others", "42"),
    ]  # fmt: skip
    assert made.svg.count("<rect") == 12
    assert chart("Nothing", ["2026-11-20"], {("2026-11-20", "m"): 0}, str) is None


def test_a_key_is_shown_once_and_works() -> None:
    client = staff("view_apikey", "add_apikey", "change_apikey")
    form = {"subject": "ann", "tenant": "acme", "name": "laptop", "roles": "a b", "models": "gpt-*", "days": "2"}
    answer = client.post("/admin/asgi_llm/apikey/add/", form)
    (text,) = re.findall(r"llm_[A-Za-z0-9]{12}_[A-Za-z0-9]{43}", answer.content.decode())
    key = APIKey.objects.get()
    assert bytes(key.digest) == digest_of(text.encode(), None)
    assert (key.subject, key.roles, key.models, key.targets) == ("ann", ["a", "b"], ["gpt-*"], [])
    assert 1.9 * 86400 < key.expires - time.time() < 2 * 86400
    assert "no-store" in answer["cache-control"]
    secret = text.rpartition("_")[2]
    everything = [page(client, "apikey/"), page(client, f"apikey/{key.pk}/change/")]
    everything += [str(session.get_decoded()) for session in Session.objects.all()]
    everything += [str(client.cookies), client.get("/admin/").content.decode()]
    assert not any(secret in said or bytes(key.digest).hex() in said for said in everything)
    assert not APIKey.objects.filter(tenant="acme", name__contains=secret).exists()


def test_mistakes_in_a_key_are_told() -> None:
    client = staff("view_apikey", "add_apikey")
    answer = client.post("/admin/asgi_llm/apikey/add/", {"subject": "", "tenant": "acme"})
    assert "This field is required" in answer.content.decode()
    assert not APIKey.objects.exists()


def test_keys_are_rotated_and_revoked() -> None:
    client = staff("view_apikey", "add_apikey", "change_apikey")
    client.post("/admin/asgi_llm/apikey/add/", {"subject": "ann", "tenant": "acme"})
    old = APIKey.objects.get()
    act = {"action": "rotate", "_selected_action": [old.pk]}
    answer = client.post("/admin/asgi_llm/apikey/", act).content.decode()
    new = APIKey.objects.get(replaces=old.pk)
    assert f"llm_{new.pk}_" in answer
    old.refresh_from_db()
    assert old.expires is not None
    answer = client.post("/admin/asgi_llm/apikey/", {**act, "action": "revoke"}, follow=True).content.decode()
    assert "1 revoked; running processes know within 30 seconds." in answer
    assert "None of these works" in client.post("/admin/asgi_llm/apikey/", act, follow=True).content.decode()
    assert new.pk in page(client, "apikey/", state="works")
    assert old.pk not in page(client, "apikey/", state="works")
    assert old.pk in page(client, "apikey/", state="revoked")


def test_budgets_show_how_much_is_used_and_can_be_given_back() -> None:
    account = "budget/lifetime/tenant=acme"
    QuotaSpent.objects.create(account=account, slot=0, amount=1_000_000, keep=9e9)
    QuotaHold.objects.create(hold="r", account=account, amount=500_000, lease=time.time() + 60)
    QuotaHold.objects.create(hold="r", account="rush/now/", amount=3, lease=time.time() + 60)
    QuotaHold.objects.create(hold="dead", account="rush/now/", amount=3, lease=time.time() - 60)
    viewer = staff("view_budget")
    said = page(viewer, "budget/")
    assert said.count("from the settings, which alone change it") == 2
    assert re.findall(r'<meter [^>]*value="(\d+)"', said) == ["75", "30"]
    assert "<td>tenant acme</td>" in said
    assert "everybody" in said
    assert "$2.00" in said
    assert "Give back" not in said
    assert viewer.post("/admin/asgi_llm/budget/", {"account": account}).status_code == 403
    changer = staff("view_budget", "change_budget")
    assert (
        "counts no more" in changer.post("/admin/asgi_llm/budget/", {"account": account}, follow=True).content.decode()
    )
    assert not QuotaSpent.objects.exists()
    assert "tenant acme" not in page(changer, "budget/", q="nobody")


BUDGET = {
    "name": "team", "active": "on", "resource": "cost", "limit": "12.5", "window": "month", "timezone": "Europe/Oslo",
    "per": ["tenant", "model"], "tenant": "acme !acme-test", "output": "4096", "on_store_failure": "closed",
    "unpriced": "refuse",
}  # fmt: skip


def test_budgets_are_made_and_changed() -> None:
    client = staff("view_budget", "add_budget", "change_budget", "delete_budget")
    answer = client.post("/admin/asgi_llm/budget/add/", BUDGET, follow=True).content.decode()
    assert "counts within 5 seconds" in answer
    row = Budget.objects.get()
    assert row.settings() == QuotaSettings(
        name="team", resource="cost", limit=12_500_000, window="month", timezone="Europe/Oslo", per=("tenant", "model"),
        match=QuotaMatch(tenant=("acme", "!acme-test")),
    )  # fmt: skip
    assert "team: $12.50 a month" in answer
    assert "each tenant, model for itself; tenant: acme !acme-test" in answer
    form = page(client, f"budget/{row.pk}/change/")
    assert 'value="12.5' in form
    assert 'value="acme !acme-test"' in form
    changed = {**BUDGET, "resource": "concurrency", "limit": "3", "tenant": ""}
    assert (
        "3 requests at the same time"
        in client.post(f"/admin/asgi_llm/budget/{row.pk}/change/", changed, follow=True).content.decode()
    )
    row.refresh_from_db()
    assert (row.limit, row.window, row.match) == (3, "", {})
    viewer = page(staff("view_budget"), f"budget/{row.pk}/change/")
    assert "requests at the same time" in viewer
    assert "_save" not in viewer
    client.post(f"/admin/asgi_llm/budget/{row.pk}/delete/", {"post": "yes"})
    assert not Budget.objects.exists()


@pytest.mark.parametrize(
    ("wrong", "said"),
    [
        ({"name": "budget"}, "is the name of a quota of the settings"),
        ({"name": "two words"}, "should match pattern"),
        ({"limit": "-1"}, "greater than or equal to 0"),
        ({"limit": "9" * 30}, "less than or equal to"),
        ({"limit": "1.5", "resource": "tokens"}, "whole number"),
        ({"timezone": "Mars"}, "is not the name of a time zone"),
        ({"window": ""}, "needs a window"),
        ({"window": "0"}, "not one of the available choices"),
        ({"tenant": "[a"}, "is not a glob"),
        ({"per": ["country"]}, "not one of the available choices"),
    ],
)
def test_mistakes_in_budgets_stand_in_the_form(wrong: dict[str, Any], said: str) -> None:
    answer = staff("view_budget", "add_budget").post("/admin/asgi_llm/budget/add/", {**BUDGET, **wrong})
    assert said in answer.content.decode()
    assert not Budget.objects.exists()


def test_prices_are_checked_and_saved() -> None:
    client = staff("view_price", "add_price")
    form = {"model": "gpt-*", "target": "*", "rank": 1, "input": "1.5", "output": "6", "request": "0", "tools": "{}"}
    bad = client.post("/admin/asgi_llm/price/add/", {**form, "tiers": '[{"above": 0}]', "input": "-1"}).content.decode()
    assert "above" in bad
    assert not Price.objects.exists()
    client.post("/admin/asgi_llm/price/add/", {**form, "tiers": '[{"above": 9, "input": 3}]'})
    assert Price.objects.get().settings().tiers[0].above == 9
    assert "gpt-*" in page(client, "price/")


def store_things() -> None:
    database = router.db_for_write(Response)
    for subject in ("ann", "bob"):
        scope = Scope("acme", subject)
        row = ResponseRow(
            id=f"resp_{subject}", created=1.0, expires=9e9, status="completed", data=b'p{"said":"<b>h&ouml;</b>"}'
        )
        responses.put(database, scope, row, (), [])
        conversation = ConversationRow(id=f"conv_{subject}", created=1.0, expires=9e9, data=b"p{}")
        conversations.add(database, scope, conversation, [ItemRow("i", b'p{"text":"hello"}')])


def test_what_is_stored_is_seen_deleted_and_forgotten() -> None:
    store_things()
    client = staff("view_response", "delete_response", "view_conversation", "delete_conversation")
    assert "resp_ann" in page(client, "response/")
    one = Response.objects.get(subject="ann")
    said = page(client, f"response/{one.pk}/change/")
    assert "&lt;b&gt;h&amp;ouml;&lt;/b&gt;" in said
    assert "hello" in page(client, f"conversation/{Conversation.objects.get(subject='ann').pk}/change/")
    act = {"action": "forget", "_selected_action": [one.pk]}
    asked = client.post("/admin/asgi_llm/response/", act).content.decode()
    assert "ann (acme)" in asked
    assert Response.objects.count() == 2
    done = client.post("/admin/asgi_llm/response/", {**act, "confirmed": "yes"}, follow=True).content.decode()
    assert "1 forgotten, with 2 things" in done
    assert list(Response.objects.values_list("subject", flat=True)) == ["bob"]
    assert list(Conversation.objects.values_list("subject", flat=True)) == ["bob"]


@pytest.mark.parametrize("path", ["usage", "budget", "apikey", "price", "response", "conversation"])
def test_nothing_is_open_without_permission(path: str) -> None:
    rows()
    store_things()
    assert staff().get(f"/admin/asgi_llm/{path}/").status_code == 403
    assert staff(f"view_{path}").get(f"/admin/asgi_llm/{path}/").status_code == 200
    viewer = staff(f"view_{path}")
    for act in ("forget", "delete_selected", "revoke", "rotate"):
        viewer.post(f"/admin/asgi_llm/{path}/", {"action": act, "_selected_action": ["1", "r1"], "post": "yes"})
    assert (Usage.objects.count(), Response.objects.count()) == (4, 2)
    assert viewer.get(f"/admin/asgi_llm/{path}/add/").status_code == 403
    if path == "usage":
        assert staff(superuser=True).get(f"/admin/asgi_llm/{path}/add/").status_code == 403


def test_where_things_are_kept_elsewhere_the_admin_does_not_tell_of_them(configured: Callable[..., None]) -> None:
    assert "Usage" in staff(superuser=True).get("/admin/").content.decode()
    configured({})
    assert "asgi_llm" not in staff(superuser=True).get("/admin/").content.decode()
