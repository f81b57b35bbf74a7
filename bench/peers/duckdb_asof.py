"""The rule in DuckDB: two as-of joins give each operation the range of sign-ins it pairs with."""

import json
import sys
from pathlib import Path

import duckdb

from bench.peers import rule
from detection.rule.ticks import format_time

READ = """
CREATE TEMP TABLE {table} AS
WITH raw AS (
    SELECT unnest(tables[1].rows) AS cells
    FROM read_json($path, columns = {{'tables': 'STRUCT("rows" VARCHAR[][])[]'}},
                   maximum_object_size = 4000000000)
), named AS (SELECT {cells} FROM raw)
SELECT *, epoch_us(CAST(substr(TimeGenerated, 1, 26) AS TIMESTAMP)) * 10
          + CAST(substr(TimeGenerated, 27, 1) AS BIGINT) AS time
FROM named
"""
SIGN_INS = """
CREATE TEMP TABLE accesses AS
SELECT dense_rank() OVER (ORDER BY lower(ServicePrincipalId), lower(ServicePrincipalName)) AS who,
       row_number() OVER (
           ORDER BY lower(ServicePrincipalId), lower(ServicePrincipalName), time) - 1 AS place,
       lower(ServicePrincipalId) AS id, ServicePrincipalId, ServicePrincipalName,
       ResourceDisplayName AS resource, time
FROM sign_ins
WHERE ResultType = '0' AND ResourceDisplayName IN (SELECT unnest($services))
  AND IPAddress NOT IN (SELECT unnest($covered)) AND time > $start AND time <= $end
"""
REACHED = """
CREATE TEMP TABLE reached AS
WITH passed AS (SELECT who, time, max(place) + 1 AS passed FROM accesses GROUP BY ALL),
people AS (SELECT who, id, min(place) AS begin FROM accesses GROUP BY ALL),
taken AS (
    SELECT who, begin, time, ResourceGroup, lower(ResourceGroup) AS grp, EventDataId,
           OperationNameValue, SubscriptionId, CallerIpAddress,
           CASE WHEN trim(ResourceId) <> '' THEN ResourceId ELSE _ResourceId END AS resource_id
    FROM operations JOIN people ON lower(Caller) = id
    WHERE ActivityStatusValue IN (SELECT unnest($statuses))
      AND OperationNameValue IN (SELECT unnest($changes)) AND time > $start AND time <= $end
), ranged AS (
    SELECT taken.*, upper.passed AS high, coalesce(lower.passed, begin) AS low
    FROM taken
    ASOF JOIN passed AS upper ON taken.who = upper.who AND taken.time >= upper.time
    ASOF LEFT JOIN passed AS lower
        ON taken.who = lower.who AND taken.time - $span > lower.time
)
SELECT *, coalesce(lag(high) OVER (PARTITION BY who, grp ORDER BY time), 0) AS before
FROM ranged WHERE low < high
"""
SPELLINGS = """
    SELECT who, grp, list(shown ORDER BY first)[1:{limit}] AS {name} FROM (
        SELECT who, grp, arg_min({column}, time) AS shown, min(time) AS first
        FROM reached WHERE trim({column}) <> '' GROUP BY who, grp, lower({column})
    ) GROUP BY ALL
"""
FOUND = """
WITH summed AS (
    SELECT who, grp, arg_min(ResourceGroup, time) AS ResourceGroup, min(low) AS low,
           sum(high - low) AS DataPlaneAccesses,
           sum(greatest(high - greatest(low, before), 0)) AS DistinctSignIns,
           count(DISTINCT EventDataId) AS DistinctOperations, max(time) AS last
    FROM reached GROUP BY ALL
), runs AS (
    SELECT who, grp, min(low) AS low, max(high) AS high
    FROM (SELECT *, sum(CASE WHEN low > before THEN 1 ELSE 0 END)
                    OVER (PARTITION BY who, grp ORDER BY time) AS run FROM reached)
    GROUP BY who, grp, run
), kinds AS (SELECT DISTINCT who, resource FROM accesses),
spots AS (
    SELECT runs.who, grp, kinds.resource, min(spot.place) AS place
    FROM runs JOIN kinds ON runs.who = kinds.who
    ASOF JOIN accesses AS spot
        ON runs.who = spot.who AND kinds.resource = spot.resource AND runs.low <= spot.place
    WHERE spot.place < high GROUP BY ALL
), seen AS (
    SELECT who, grp, list(resource ORDER BY place)[1:5] AS Resources FROM spots GROUP BY ALL
), {spellings}
SELECT * FROM summed JOIN (
    SELECT place AS low, time AS first, ServicePrincipalName, ServicePrincipalId FROM accesses
) USING (low) JOIN seen USING (who, grp) {joins}
"""
SETS = {
    "Operations": ("OperationNameValue", 10),
    "AffectedResources": ("resource_id", 10),
    "SubscriptionIds": ("SubscriptionId", 5),
    "CallerIpAddresses": ("CallerIpAddress", 10),
}


def main(folder: Path) -> None:
    """Print the findings of a recorded folder."""
    with duckdb.connect() as connection:
        for table, path in (
            ("sign_ins", rule.sign_ins_of(folder)),
            ("operations", rule.operations_of(folder)),
        ):
            places = enumerate(rule.columns_of(path), start=1)
            cells = ", ".join(f"cells[{place}] AS {name}" for place, name in places)
            connection.execute(READ.format(table=table, cells=cells), {"path": str(path)})
        _find(connection, folder)
        spellings = ", ".join(
            f"{name} AS ({SPELLINGS.format(name=name, column=column, limit=limit)})"
            for name, (column, limit) in SETS.items()
        )
        joins = " ".join(f"LEFT JOIN {name} USING (who, grp)" for name in SETS)
        columns = connection.execute(FOUND.format(spellings=spellings, joins=joins))
        names = [column[0] for column in columns.description]
        for values in columns.fetchall():
            row = dict(zip(names, values, strict=True))
            row["FirstEvent"], row["LastEvent"] = map(format_time, (row["first"], row["last"]))
            row["CallerIpAddresses"] = row["CallerIpAddresses"] or []
            sys.stdout.write(json.dumps({name: row[name] for name in rule.COMPARED}) + "\n")


def _find(connection: duckdb.DuckDBPyConnection, folder: Path) -> None:
    """Create the table of the operations that pair, with their ranges of sign-ins."""

    def distinct(table: str, column: str) -> list[str]:
        query = f"SELECT DISTINCT {column} FROM {table}"  # noqa: S608 - constants of this function
        return [value for (value,) in connection.execute(query).fetchall()]

    window = {"start": rule.START, "end": rule.END}
    connection.execute(
        SIGN_INS,
        {
            "services": rule.services(distinct("sign_ins", "ResourceDisplayName")),
            "covered": list(
                filter(rule.covered_by_allowlist(folder), distinct("sign_ins", "IPAddress"))
            ),
            **window,
        },
    )
    connection.execute(
        REACHED,
        {
            "statuses": rule.successes(distinct("operations", "ActivityStatusValue")),
            "changes": rule.changes(distinct("operations", "OperationNameValue")),
            "span": rule.SPAN,
            **window,
        },
    )


if __name__ == "__main__":
    main(Path(sys.argv[1]))
