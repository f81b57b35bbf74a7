"""Drives the worker that runs the app in Azure, as the host does: one app, one process.

`python worker.py FOLDER PAST_DUE` indexes the app in FOLDER, loads its timer, invokes it
once and prints what came of it, and what it logged, as JSON. The worker speaks with its host in
protobuf messages; small records stand in for them, since it reads and makes them by attribute
only.
"""

import asyncio
import json
import logging
import sys
from types import SimpleNamespace
from typing import Any

import azure_functions_runtime as worker
from azure_functions_runtime.bindings.context import _invocation_id_local as by_thread


class Message(SimpleNamespace):
    """A message with whatever fields it is given; also tells which of its kinds of data it has."""

    def WhichOneof(self, group: str) -> str | None:  # noqa: N802 (protobuf's name)
        """Return the name of the one field that is set."""
        del group
        return next(iter(vars(self)), None)


class Messages:
    """Makes any kind of message, and has the values of their enumerations."""

    class StatusResult(Message):
        """Whether something worked."""

        Failure = 0
        Success = 1

    class BindingInfo(Message):
        """One binding of a function."""

        inout, out = 2, 1
        undefined, string, binary, stream = range(4)

    def __getattr__(self, kind: str) -> type[Message]:
        """Return the class of a kind of message."""
        return Message


class Lines(logging.Handler):
    """Keeps what is logged, and which invocation the worker would put each line down to.

    Workers know it by a context variable or by the thread; a line that either does not know may
    be lost, since the host drops a line that belongs to no invocation.
    """

    def __init__(self) -> None:
        super().__init__()
        self.kept: list[dict[str, Any]] = []

    def emit(self, record: logging.LogRecord) -> None:
        """Keep a line."""
        self.kept.append(
            {
                "logger": record.name,
                "level": record.levelname,
                "text": self.format(record),
                "invocations": [
                    worker.invocation_id_cv.get(),
                    getattr(by_thread, "invocation_id", None),
                ],
            }
        )


def request(**content: Any) -> Message:
    """Return a request as the host sends it."""
    return Message(
        request=Message(**content), properties={"host": "127.0.0.1", "protos": Messages()}
    )


async def main(folder: str, *, past_due: bool) -> dict[str, Any]:
    """Start the worker on a folder and invoke the one function in it."""
    lines = Lines()
    logging.getLogger().addHandler(lines)
    logging.getLogger().setLevel(logging.INFO)  # as workers do
    started = await worker.worker_init_request(
        request(worker_init_request=Message(capabilities={}, function_app_directory=folder))
    )
    if started.result.status != Messages.StatusResult.Success:
        return {"indexed": [], "failure": started.result.exception.message}
    listed = await worker.functions_metadata_request(request(functions_metadata_request=Message()))
    (function,) = listed.function_metadata_results
    await worker.function_load_request(
        request(function_load_request=Message(function_id=function.function_id, metadata=function))
    )
    timer = {
        "IsPastDue": past_due,
        "Schedule": {"AdjustForDST": True},
        "ScheduleStatus": {
            "Last": "2026-03-14T09:00:00+00:00",
            "Next": "2026-03-14T10:00:00+00:00",
            "LastUpdated": "2026-03-14T09:00:00+00:00",
        },
    }
    answer = await worker.invocation_request(
        request(
            invocation_request=Message(
                invocation_id="1",
                function_id=function.function_id,
                input_data=[Message(data=Message(json=json.dumps(timer)), name="timer")],
                trigger_metadata={},
                trace_context=Message(trace_parent="", trace_state="", attributes={}),
                retry_context=Message(retry_count=0, max_retry_count=0, exception=None),
            )
        )
    )
    succeeded = answer.result.status == Messages.StatusResult.Success
    return {
        "indexed": [function.name],
        "bindings": [json.loads(text) for text in function.raw_bindings],
        "failure": "" if succeeded else answer.result.exception.message,
        "lines": lines.kept,
    }


if __name__ == "__main__":
    outcome = asyncio.run(main(sys.argv[1], past_due=sys.argv[2] == "True"))
    sys.stdout.write(json.dumps(outcome) + "\n")
