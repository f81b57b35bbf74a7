"""The rule in pandas: a merge forms every pair of an identity, a filter keeps those in the span.

Its memory grows with the pairs, so it runs on small logs only.
"""

import json
import sys
from pathlib import Path

import pandas as pd

from bench.peers import rule
from detection.rule.ticks import format_time

GROUP = ["id", "name", "group"]
SETS = {
    "Operations": ("OperationNameValue", 10),
    "AffectedResources": ("resource_id", 10),
    "SubscriptionIds": ("SubscriptionId", 5),
    "CallerIpAddresses": ("CallerIpAddress", 10),
}


def main(folder: Path) -> None:
    """Print the findings of a recorded folder."""
    sign_ins, operations = _sign_ins(folder), _operations(folder)
    pairs = sign_ins.merge(operations, on="id", suffixes=("", "_of_operation"))
    after = pairs["time_of_operation"] - pairs["time"]
    pairs = pairs[(after >= 0) & (after <= rule.SPAN)]
    by_sign_in = pairs.sort_values(["time"], kind="stable").groupby(GROUP)
    by_operation = pairs.sort_values(["time_of_operation"], kind="stable").groupby(GROUP)
    found = by_sign_in.agg(
        DataPlaneAccesses=("id", "size"),
        DistinctSignIns=("Id", "nunique"),
        DistinctOperations=("EventDataId", "nunique"),
        ServicePrincipalName=("ServicePrincipalName", "first"),
        ServicePrincipalId=("ServicePrincipalId", "first"),
        first=("time", "min"),
        last=("time_of_operation", "max"),
    )
    found["ResourceGroup"] = by_operation["ResourceGroup"].first()
    resources = pairs.sort_values("time", kind="stable").drop_duplicates(
        [*GROUP, "ResourceDisplayName"]
    )
    found["Resources"] = resources.groupby(GROUP)["ResourceDisplayName"].agg(lambda s: list(s[:5]))
    for name, (column, limit) in SETS.items():
        found[name] = _spellings(pairs, column, limit)
    for row in found.reset_index().to_dict("records"):
        row["FirstEvent"], row["LastEvent"] = map(format_time, (row["first"], row["last"]))
        if not isinstance(row["CallerIpAddresses"], list):  # no pair has an address
            row["CallerIpAddresses"] = []
        sys.stdout.write(json.dumps({name: row[name] for name in rule.COMPARED}) + "\n")


def _read(path: Path) -> pd.DataFrame:
    document = json.loads(path.read_bytes())
    rows = pd.DataFrame(document["tables"][0]["rows"], columns=rule.columns_of(path))
    # Timestamps are whole nanoseconds here, and a tick is a hundred.
    moments = pd.to_datetime(rows["TimeGenerated"], format="%Y-%m-%dT%H:%M:%S.%fZ", utc=True)
    rows["time"] = moments.dt.as_unit("ns").astype("int64") // 100
    return rows[(rows["time"] > rule.START) & (rows["time"] <= rule.END)]


def _sign_ins(folder: Path) -> pd.DataFrame:
    rows = _read(rule.sign_ins_of(folder))
    covered = list(filter(rule.covered_by_allowlist(folder), rows["IPAddress"].unique()))
    rows = rows[
        (rows["ResultType"] == "0")
        & rows["ResourceDisplayName"].isin(rule.services(rows["ResourceDisplayName"].unique()))
        & ~rows["IPAddress"].isin(covered)
    ]
    return rows.assign(
        id=rows["ServicePrincipalId"].str.lower(), name=rows["ServicePrincipalName"].str.lower()
    )


def _operations(folder: Path) -> pd.DataFrame:
    rows = _read(rule.operations_of(folder))
    rows = rows[
        rows["ActivityStatusValue"].isin(rule.successes(rows["ActivityStatusValue"].unique()))
        & rows["OperationNameValue"].isin(rule.changes(rows["OperationNameValue"].unique()))
    ]
    return rows.assign(
        id=rows["Caller"].str.lower(),
        group=rows["ResourceGroup"].str.lower(),
        resource_id=rows["ResourceId"].where(
            rows["ResourceId"].str.strip() != "", rows["_ResourceId"]
        ),
    )


def _spellings(pairs: pd.DataFrame, column: str, limit: int) -> "pd.Series[list[str]]":
    """Return the first values of a column in each group that differ without case."""
    named = pairs[pairs[column].str.strip() != ""].sort_values("time_of_operation", kind="stable")
    first = named.assign(folded=named[column].str.lower()).drop_duplicates([*GROUP, "folded"])
    return first.groupby(GROUP)[column].agg(lambda values: list(values[:limit]))


if __name__ == "__main__":
    main(Path(sys.argv[1]))
