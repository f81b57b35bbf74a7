"""Threads that work in a copy of their caller's context.

Azure Functions and tracing keep the invocation of a log line in a context variable. A new thread
has no such variable, and the host drops log lines without an invocation.
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
    """A thread pool that runs each piece of work in the context of its submitter."""

    def submit(self, work: Callable[P, T], /, *args: P.args, **kwargs: P.kwargs) -> Future[T]:
        """Run `work` in its own copy of the context: two threads cannot enter the same one."""
        return super().submit(copy_context().run, partial(work, *args, **kwargs))

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        """Cancel queued work after a failure; on Ctrl-C, do not wait for running work either."""
        interrupted = isinstance(error, KeyboardInterrupt)
        self.shutdown(wait=not interrupted, cancel_futures=error is not None)


def run_with_timeout(seconds: float, work: Callable[[], T]) -> T:
    """Return the result of `work`; raises TimeoutError if it takes longer than `seconds`.

    The work then continues in a daemon thread, which does not delay the end of the process.
    """
    outcome: Future[T] = Future()

    def run() -> None:
        try:
            outcome.set_result(work())
        except BaseException as error:  # noqa: BLE001 - it is raised where the outcome is awaited
            outcome.set_exception(error)

    Thread(target=copy_context().run, args=(run,), daemon=True).start()
    return outcome.result(seconds)
