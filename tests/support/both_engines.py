"""The results of both engines on one small log for which every constant of the rule matters.

As a program it prints them as JSON. tests/kql/test_constants.py runs it in fresh processes, with a
copy of the product in which constants are edited.
"""

import json
import sys
from collections.abc import Iterable
from pathlib import Path
from typing import Any

import detection
from detection.kql.constants import BUCKETS
from detection.rule.allowlist import Allowlist
from detection.rule.correlate import Group, detect
from detection.rule.filters import RuleSettings, is_change, match_operations, match_sign_ins
from detection.rule.kql_text import ascii_lower
from detection.rule.log_rows import OPERATION_NAME, OPERATION_TABLE, SIGN_IN_TABLE, STATUS
from detection.rule.reported import hash_key
from detection.sources.workspace.context import baseline_query
from detection.sources.workspace.queries import WindowQueries
from detection.window import Mode, Window
from emulator.kusto.translation import bucket_of
from tests.support import kusto
from tests.support.strategies import END, HOUR, START, Row, as_logs, operation, sign_in, written

MINUTE = HOUR // 60
MANY = 30  # more than any cap

Answers = dict[str, Any]


def log() -> tuple[list[Row], list[Row]]:
    """Return sign-ins and operations, of an identity for each constant or a few of them."""
    sign_ins = {
        "cosmos": [sign_in(ResourceDisplayName="Azure Cosmos DB")],
        "two services": [
            sign_in(ResourceDisplayName="Azure Key Vault"),
            sign_in(ResourceDisplayName="Key Vault keys of Cosmos DB", Id="s2"),
        ],
        "other result": [sign_in(ResultType="7")],
        "purge": [sign_in()],
        "peek": [sign_in()],
        "finished": [sign_in()],
        "done": [sign_in()],
        "late": [sign_in(TimeGenerated=written(END - 80 * MINUTE))],
        "caps": [
            sign_in(
                TimeGenerated=written(START + HOUR + n),
                ResourceDisplayName=f"Storage {n}",
                Id=f"s{n}",
            )
            for n in range(MANY)
        ],
        "many": [sign_in()],
    }
    operations = {
        **{name: [operation()] for name in ("cosmos", "two services", "other result")},
        "purge": [operation(OperationNameValue="a/PURGE")],
        "peek": [operation(OperationNameValue="a/peek/write")],
        "finished": [operation(ActivityStatusValue=text) for text in ("Succeeded", "Finished")]
        + [operation(ActivityStatusValue="finished", EventDataId="o2")],
        "done": [operation(ActivityStatusValue="done")],
        "late": [operation(TimeGenerated=written(END))],
        "caps": [
            operation(
                TimeGenerated=written(START + HOUR + MANY + n),
                OperationNameValue=f"a/{n}/write",
                ResourceId=f"/r/{n}",
                SubscriptionId=f"subscription {n}",
                CallerIpAddress=f"198.51.100.{n}",
                EventDataId=f"o{n}",
            )
            for n in range(MANY)
        ],
        "many": [
            operation(TimeGenerated=written(START + HOUR + n), EventDataId=f"o{n}")
            for n in range(MANY)
        ],
    }
    return (
        [row | {"ServicePrincipalId": name} for name, rows in sign_ins.items() for row in rows],
        [row | {"Caller": name} for name, rows in operations.items() for row in rows],
    )


def described(groups: Iterable[Group]) -> Answers:
    """Return the features of the groups that depend on the constants."""
    found = {group.key.identity: group for group in groups}
    caps = found.get("caps")
    many = found["many"].read_pairs({}) if "many" in found else None
    return {
        "identities": sorted(found),
        "resources": caps and len(caps.resources),
        "operations": caps and len(caps.operations),
        "affected resources": caps and len(caps.affected_resources),
        "subscriptions": caps and len(caps.subscription_ids),
        "addresses": caps and len(caps.caller_addresses),
        "pairs": many and len(many[0].pairs),
        "keys": caps and len({hash_key(key) for key in caps.operations_at}),
        "key bytes": caps and len(hash_key(next(iter(caps.operations_at)))),
    }


def answers() -> Answers:
    """Return the results of the rule in Python and of the queries in DuckDB."""
    logs, rule = as_logs(*log()), RuleSettings()
    window = Window(START, END, Mode.SCHEDULED)
    asked, database = WindowQueries(window, END, rule), kusto.database()
    python = described(detect(logs, START, END, rule).groups)
    kql = described(kusto.groups_in_cluster(database, logs, asked, range(BUCKETS)))

    changes = [
        row
        for row in logs.operations
        if is_change(row[OPERATION_NAME])
        and ascii_lower(row[STATUS]) in map(ascii_lower, rule.success_statuses)
    ]
    python["baseline"] = named(ascii_lower(row[OPERATION_NAME]) for row in changes)
    past = kusto.ask(database, baseline_query(START, END, rule.success_statuses))
    kql["baseline"] = named(row["OperationNameValue"] for row in past)

    python["other success"] = match_operations(logs.operations, START, END, rule).other_success
    counts = kusto.ask(database, asked.count(OPERATION_TABLE))
    kql["other success"] = sum(row["Succeeded"] + row["SucceededWithoutSignIn"] for row in counts)

    matched = match_sign_ins(logs.sign_ins, START, END, Allowlist.of(())).by_identity
    python["buckets"] = sorted({bucket_of(identity) for identity in matched})
    counts = kusto.ask(database, asked.count(SIGN_IN_TABLE))
    kql["buckets"] = sorted(row["Bucket"] for row in counts)

    rows = kusto.ask(database, asked.correlate(range(BUCKETS), ()))
    kql["rows"] = sum(row["ServicePrincipalId"] == "many" for row in rows)
    return {"product": str(Path(detection.__file__).parent), "python": python, "kql": kql}


def named(operations: Iterable[str]) -> list[str]:
    """Return those operations whose names hold one of the terms that are edited."""
    return sorted({name for name in operations if name in {"a/purge", "a/peek/write"}})


if __name__ == "__main__":
    sys.stdout.write(json.dumps(answers()))
