"""Random streams of rows, and a check that each reportable operation was reported exactly once."""

import random
from collections import Counter
from collections.abc import Iterable
from itertools import pairwise

import orjson

from detection.rule.ticks import DAY, HOUR, MINUTE, format_time, parse_time
from tests.support import ALLOWLIST, OPERATIONS, SIGN_INS
from tests.support.simulation import Event, Stream, assert_consistent

BEGIN = parse_time("2026-03-14T00:00:00Z")  # time of the first run
FIRST = BEGIN - 2 * HOUR  # start of its window; no run has to report earlier operations


def random_stream(rng: random.Random, hours: int, latest: int = DAY - 1) -> Stream:
    """Return sign-ins, and operations about them, until `hours` after BEGIN.

    Many are exactly an hour apart. Rows arrive up to `latest` ticks late (default: the allowed
    maximum), most of them by minutes, stay invisible for up to ten minutes, and some repeat.
    """
    sign_ins: list[Event] = []
    operations: list[Event] = []
    end = BEGIN + hours * HOUR
    for number in range(hours // 2):
        time = FIRST + rng.randrange((end - FIRST) // MINUTE) * MINUTE
        identity = rng.choice(("aaaa", "AAAA", "bbbb", "cccc"))
        sign_ins += _rows(rng, latest, Event(time, 0, identity, "Azure Key Vault", f"s{number}"))
        for count in range(rng.randrange(4)):
            happened = time + rng.choice((0, HOUR, HOUR + 1, rng.randrange(-10, 70) * MINUTE))
            group = rng.choice(("rg-one", "RG-ONE", "rg-two"))
            event = Event(happened, 0, identity, group, f"o{number}-{count}")
            operations += _rows(rng, latest, event)
    return Stream(sign_ins, [event for event in operations if event.time <= end])


def _rows(rng: random.Random, latest: int, event: Event) -> Iterable[Event]:
    """Yield an event's row, and sometimes repeat it later."""
    for _ in range(rng.choice((1, 1, 1, 2))):
        delay = rng.choice((0, rng.randrange(15 * MINUTE), rng.randrange(15 * MINUTE)))
        if rng.random() < 0.3:
            least, most = rng.choice(((0, 5 * HOUR), (0, latest), (latest - HOUR, latest)))
            delay = rng.randint(least, most)
        unseen = rng.choice((0, 0, MINUTE, 10 * MINUTE - 1))
        yield event._replace(arrival=event.time + min(delay, latest), unseen_for=unseen)


def tables_of(stream: Stream) -> dict[str, list[dict[str, object]]]:
    """Return the rows as a workspace's tables; queries return a row from `SeenFrom` on."""
    return {
        SIGN_INS: [
            _times(event)
            | {
                "ServicePrincipalId": event.identity,
                "ServicePrincipalName": f"name of {event.identity.lower()}",
                "ResultType": "0",
                "ResourceDisplayName": event.where,
                "Id": event.event_id,
            }
            for event in stream.sign_ins
        ],
        OPERATIONS: [
            _times(event)
            | {
                "Caller": event.identity,
                "OperationNameValue": "Microsoft.KeyVault/vaults/delete",
                "ActivityStatusValue": "Success",
                "ResourceGroup": event.where,
                "_ResourceId": f"/of/{event.event_id}",
                "EventDataId": event.event_id,
            }
            for event in stream.operations
        ],
        ALLOWLIST: [],
    }


def _times(event: Event) -> dict[str, object]:
    return {
        "TimeGenerated": format_time(event.time),
        "IngestionTime": format_time(event.arrival),
        "SeenFrom": format_time(event.arrival + event.unseen_for),
    }


def reportable_operations(stream: Stream) -> set[tuple[str, str, str]]:
    """Return (identity, resource group, id) of each operation that pairs, found by nested loops."""
    return {
        (operation.identity.lower(), operation.where.lower(), operation.event_id)
        for operation in stream.operations
        for sign_in in stream.sign_ins
        if operation.identity.lower() == sign_in.identity.lower()
        and FIRST < sign_in.time <= operation.time <= sign_in.time + HOUR
    }


def assert_each_reported_once(delivered: Iterable[bytes], stream: Stream) -> None:
    """Assert that no operation is lost or new twice, no repeated row differs, no hour is skipped.

    Operations are recognised by their resources, of which a row names ten at most.
    """
    rows = list(dict.fromkeys(delivered))
    assert_consistent(rows)
    documents = [orjson.loads(row) for row in rows]
    found = set[tuple[str, str, str]]()
    full = set[tuple[str, str, str]]()
    news = Counter[tuple[str, str]]()
    expected = reportable_operations(stream)
    for row in documents:
        if "FindingId" in row:
            group = row["ServicePrincipalId"].lower(), row["ResourceGroup"].lower()
            found |= {(*group, name.removeprefix("/of/")) for name in row["AffectedResources"]}
            news[group] += row["NewOperations"]
            if len(row["AffectedResources"]) == 10:
                full |= {one for one in expected if one[:2] == group}
    assert found <= expected <= found | full
    assert news == Counter((identity, group) for identity, group, _ in expected)
    examined = sorted(
        (parse_time(row["WindowEnd"]), parse_time(row["WindowStart"]))
        for row in documents
        if "FindingId" not in row and row["Status"] != "Failure" and row["Mode"] != "Backfill"
    )
    assert all(start <= end - HOUR for (end, _), (_, start) in pairwise(examined))
