"""Threads that work in a copy of their caller's context.

The worker of Azure Functions, and tracing, tell by a context variable which invocation a log line
belongs to; a thread begins without any, and the host drops a line that belongs to nothing.
"""

from collections.abc import Callable
from concurrent.futures import Future, ThreadPoolExecutor
from contextvars import copy_context
from functools import partial
from typing import ParamSpec, TypeVar

P = ParamSpec("P")
T = TypeVar("T")


class Threads(ThreadPoolExecutor):
    """A pool whose threads do each piece of work in the context that it was submitted in."""

    def submit(self, work: Callable[P, T], /, *args: P.args, **kwargs: P.kwargs) -> Future[T]:
        """Have `work` done in a copy of its own, since a context is entered once at a time."""
        return super().submit(copy_context().run, partial(work, *args, **kwargs))
