"""Work in threads has its caller's context."""

from contextvars import ContextVar
from threading import Barrier, Event
from typing import Any

import pytest

from detection.threads import Threads

INVOCATION = ContextVar("invocation", default="none")


def test_work_in_a_thread_has_its_caller_s_context() -> None:
    """Each thread sees its caller's context at the time of the call, and does not change it."""
    both = Barrier(2)

    def look(own: str) -> str:
        seen = INVOCATION.get()
        INVOCATION.set(own)
        both.wait(10)  # two at once cannot share a context
        return seen

    token = INVOCATION.set("first")
    with Threads(2) as threads:
        looks = [threads.submit(look, "changed"), threads.submit(look, own="changed")]
        INVOCATION.reset(token)
        assert [look.result() for look in looks] == ["first", "first"]
        assert threads.submit(INVOCATION.get).result() == "none"
    assert INVOCATION.get() == "none"


def test_an_interruption_does_not_wait_for_work() -> None:
    """Work that hangs is abandoned, and waiting work never begins."""
    go_on, begun = Event(), Event()

    def hang() -> None:
        begun.set()
        go_on.wait(60)

    def give(threads: Threads) -> None:
        with threads:
            works.extend([threads.submit(hang), threads.submit(hang)])
            assert begun.wait(10)
            raise KeyboardInterrupt

    works: list[Any] = []
    threads = Threads(1)
    with pytest.raises(KeyboardInterrupt):
        give(threads)
    assert works[0].running()
    assert works[1].cancelled()
    go_on.set()
    threads.shutdown()
