"""What connections remember has an end, for each and for all."""

from msgspec import Raw

from asgi_llm.history.local import Local, Room
from asgi_llm.history.records import KeptItem
from asgi_llm.stores.scope import Scope

ANN, BOB = Scope("acme", "ann"), Scope("acme", "bob")


def items(size: int) -> list[KeptItem]:
    return [KeptItem("msg_1", Raw(b"x" * size))]


def test_the_last_one_of_the_same_caller() -> None:
    local = Local(100, Room(1000))
    local.remember(ANN, "resp_1", items(10))
    assert local.find(ANN, "resp_1") == tuple(items(10))
    assert local.find(BOB, "resp_1") is None
    local.remember(ANN, "resp_2", items(10))
    assert local.find(ANN, "resp_1") is None
    local.forget("resp_1")
    assert local.find(ANN, "resp_2") is not None
    local.forget("resp_2")
    assert local.find(ANN, "resp_2") is None
    assert local.find(ANN, "") is None


def test_there_is_room_for_so_much_and_it_is_given_back() -> None:
    room = Room(150)
    one, two = Local(100, room), Local(100, room)
    one.remember(ANN, "resp_1", items(101))
    assert one.find(ANN, "resp_1") is None
    one.remember(ANN, "resp_2", items(100))
    two.remember(ANN, "resp_3", items(60))
    assert (one.find(ANN, "resp_2") is None, two.find(ANN, "resp_3") is None, room.left) == (False, True, 50)
    one.clear()
    two.remember(ANN, "resp_4", items(60))
    assert (two.find(ANN, "resp_4") is None, room.left) == (False, 90)
