"""The process in which previews are made: it can be stopped, and knows nothing of ours."""

import asyncio

import pytest

from api import previews
from api.problems import Problem
from infrastructure.previewing import Order, TooLong, in_a_process, previewed
from schemas.templates import Template

LIMITED = "from infrastructure.previewing_process import limit; limit(cpu_s=1)\n"


def an_order(body: str) -> Order:
    return Order(template=Template(name="draft", body=body), variables={"name": "Ana"})


def test_a_process_that_computes_without_end_is_stopped() -> None:
    with pytest.raises(TooLong):
        in_a_process(("-c", LIMITED + "while True: pass"), b"")


def test_a_process_that_eats_memory_is_stopped() -> None:
    with pytest.raises(TooLong):
        in_a_process(("-c", LIMITED + "b'x' * (3 * 1024 ** 3)"), b"")


def test_a_process_that_does_nothing_without_end_is_stopped() -> None:
    with pytest.raises(TooLong):
        in_a_process(("-c", "import time; time.sleep(60)"), b"", wall_s=0.5)


def test_the_process_has_none_of_our_secrets(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("APP_SECRET_KEY", "canary")
    assert b"canary" not in in_a_process(("-c", "import os; print(os.environ)"), b"")


def test_texts_come_back_or_the_line_that_is_wrong() -> None:
    assert previewed(an_order("Hi {{ name }}"))["content"]["body"] == "Hi Ana"
    assert previewed(an_order("a\n{{ nobody }}")) == {"part": "body", "line": 2, "reason": "'nobody' is undefined"}


async def test_who_waits_too_long_for_their_turn_is_told_to_come_back(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(previews, "_AT_ONCE", asyncio.Semaphore(0))
    monkeypatch.setattr(previews, "_PATIENCE_S", 0.01)
    with pytest.raises(Problem) as busy:
        await previews.preview(an_order("Hi"))
    assert (busy.value.status, busy.value.headers) == (503, {"Retry-After": "5"})
