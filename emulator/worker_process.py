"""Starts the Azure Functions worker as the host does: one app, one process.

`python worker_process.py FOLDER PAST_DUE [NOW]` indexes the app in FOLDER, loads its timer, invokes
it once and prints the outcome and the log as JSON. With NOW, an ISO 8601 time, the clock of the
process shows that time when the timer fires. The worker and its host exchange protobuf messages;
simple objects replace them here, since the worker uses only their attributes.
"""

import asyncio
import json
import logging
import sys
from datetime import datetime
from types import SimpleNamespace
from typing import Any

import azure_functions_runtime as worker
from azure_functions_runtime.bindings.context import _invocation_id_local as by_thread


class Message(SimpleNamespace):
    """A protobuf message with any fields, which also knows the one data field that is set."""

    def WhichOneof(self, group: str) -> str | None:
        """Return the name of the one field that is set."""
        del group
        return next(iter(vars(self)), None)


class Messages:
    """A factory for any message, with the values of protobuf's enumerations."""

    class StatusResult(Message):
        """The outcome of a request to the worker."""

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
    """Keeps log lines, with the invocation that the worker assigns to each.

    Workers use a context variable or the thread for that. The host drops a line without an
    invocation, so a line that either method misses may be lost.
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
    """Return a request in the form that the host sends."""
    return Message(
        request=Message(**content), properties={"host": "127.0.0.1", "protos": Messages()}
    )


def main(folder: str, past_due: str, now: str = "") -> dict[str, Any]:
    """Start the worker on a folder, invoke its only function, and return the outcome."""
    if not now:
        return asyncio.run(invoke(folder, past_due=past_due == "True"))
    import time_machine  # noqa: PLC0415 - tests run the worker where it is not installed

    with time_machine.travel(datetime.fromisoformat(now)):
        return asyncio.run(invoke(folder, past_due=past_due == "True"))


async def invoke(folder: str, *, past_due: bool) -> dict[str, Any]:
    """Start the worker on a folder and invoke its only function."""
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
    sys.stdout.write(json.dumps(main(*sys.argv[1:])) + "\n")
