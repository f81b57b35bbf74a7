"""Threads that work in a copy of their caller's context.

The worker of Azure Functions, and tracing, tell by a context variable which invocation a log line
belongs to; a thread begins without any, and the host drops a line that belongs to nothing.
"""

from collections.abc import Callable
from concurrent.futures import Future, ThreadPoolExecutor
from contextvars import copy_context
from functools import partial
from threading import Thread
from types import TracebackType
from typing import ParamSpec, TypeVar

P = ParamSpec("P")
T = TypeVar("T")


class Threads(ThreadPoolExecutor):
    """A pool whose threads do each piece of work in the context that it was submitted in."""

    def submit(self, work: Callable[P, T], /, *args: P.args, **kwargs: P.kwargs) -> Future[T]:
        """Have `work` done in a copy of its own, since a context is entered once at a time."""
        return super().submit(copy_context().run, partial(work, *args, **kwargs))

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        """Drop what has not begun after a failure; whoever interrupts waits for nothing else."""
        interrupted = isinstance(error, KeyboardInterrupt)
        self.shutdown(wait=not interrupted, cancel_futures=error is not None)


def run_with_timeout(seconds: float, work: Callable[[], T]) -> T:
    """Return what `work` comes to; raises TimeoutError if that takes longer.

    The work then goes on in a thread that nobody waits for, not even at the process's end.
    """
    outcome: Future[T] = Future()

    def run() -> None:
        try:
            outcome.set_result(work())
        except BaseException as error:  # noqa: BLE001 - it is raised where the outcome is awaited
            outcome.set_exception(error)

    Thread(target=copy_context().run, args=(run,), daemon=True).start()
    return outcome.result(seconds)
