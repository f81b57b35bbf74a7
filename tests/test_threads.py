"""Work in threads goes on in its caller's context."""

from contextvars import ContextVar
from threading import Barrier

from detection.threads import Threads

INVOCATION = ContextVar("invocation", default="none")


def test_work_in_a_thread_belongs_to_its_caller() -> None:
    """Each thread sees what its caller had set when the work was given, and changes nothing."""
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
