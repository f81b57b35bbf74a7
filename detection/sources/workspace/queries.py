"""The KQL of all queries about one window, rendered from kql/*.kql."""

from dataclasses import dataclass

from detection.kql.render import Duration, Name, Query, query
from detection.ranking.near_misses import TOKEN_LIFETIME
from detection.rule.filters import RuleSettings
from detection.rule.kql_text import ascii_lower
from detection.rule.log_rows import SIGN_IN_TABLE, TableShape
from detection.window import Seen, Window

NONE = " "  # in place of an empty list, which KQL does not allow; equals no address and no key


@dataclass(frozen=True, slots=True)
class WindowQueries:
    """Renders the queries about the rows of a window that had arrived at `now` (ticks)."""

    window: Window
    now: int
    rule: RuleSettings

    def count(self, shape: TableShape, *, signed_in: bool = True) -> Query:
        """Count the rows of each bucket; if not `signed_in`, as if no identity had signed in."""
        if shape is SIGN_IN_TABLE:
            return query("count_sign_ins", sign_ins=self._sign_ins())
        return query(
            "count_operations",
            functions=query("functions"),
            sign_ins=self._sign_ins() if signed_in else query("nobody"),
            operations=self._operations(self.window.start, self.window.end),
            folded_statuses=self._statuses(),
        )

    def latest(self, shape: TableShape) -> Query:
        """Find the time of a table's newest row."""
        return query("latest", table=shape, now=self.now)

    def rows(self, shape: TableShape, partition: range, start: int, end: int) -> Query:
        """Read the rows of a partition with start < TimeGenerated <= end (ticks)."""
        if shape is SIGN_IN_TABLE:
            return query("read_sign_ins", sign_ins=self._sign_ins(start, end), buckets=partition)
        return query(
            "read_operations",
            functions=query("functions"),
            sign_ins=self._sign_ins(),
            operations=self._operations(start, end),
            buckets=partition,
        )

    def recording(self, shape: TableShape, start: int, end: int) -> Query:
        """Read all rows with start < TimeGenerated <= end (ticks) that the rule may match."""
        if shape is SIGN_IN_TABLE:
            return query("recording", rows=self._sign_ins(start, end))
        return query("recording", rows=self._operations(start, end))

    def addresses(self, partition: range) -> Query:
        """Count the sign-ins of a partition by their address."""
        return query(
            "addresses",
            functions=query("functions"),
            sign_ins=self._sign_ins(),
            buckets=partition,
        )

    def correlate(self, partition: range, excluded: tuple[str, ...]) -> Query:
        """Find the groups of a partition, without sign-ins from the excluded addresses."""
        return query(
            "correlate",
            sweep=self._sweep(partition, excluded),
            values=query("group_values", reached=Name("Reached")),
            sign_ins=self._sign_ins(),
            operations=self._operations(self.window.start, self.window.end),
            buckets=partition,
        )

    def pairs(
        self, partition: range, excluded: tuple[str, ...], reported: tuple[str, ...]
    ) -> Query:
        """Read the pairs of the groups that `correlate` finds for the same arguments.

        `reported` are the operations to leave out, as kusto_pairs.key_in_group() names them.
        """
        return query("pairs", sweep=self._sweep(partition, excluded), reported=reported or (NONE,))

    def near_misses(self, partition: range, excluded: tuple[str, ...], seen: Seen) -> Query:
        """Count a partition's changes too long after a sign-in, without the rows that were seen.

        Sign-ins from the excluded addresses count for nothing.
        """
        window = self.window
        return query(
            "near_misses",
            functions=query("functions"),
            sign_ins=self._sign_ins(window.start - TOKEN_LIFETIME, window.end),
            operations=self._operations(window.start, window.end),
            folded_statuses=self._statuses(),
            addresses=excluded or (NONE,),
            buckets=partition,
            seen_until=seen.until,
            seen_at=seen.at,
            span=Duration(self.rule.span),
            lifetime=Duration(TOKEN_LIFETIME),
        )

    def _sweep(self, partition: range, excluded: tuple[str, ...]) -> Query:
        rows = query(
            "rows",
            sign_ins=query("in_buckets", rows=self._sign_ins(), buckets=partition),
            operations=query(
                "in_buckets",
                rows=self._operations(self.window.start, self.window.end),
                buckets=partition,
            ),
            folded_statuses=self._statuses(),
            addresses=excluded or (NONE,),
        )
        return query(
            "sweep", functions=query("functions"), rows=rows, span=Duration(self.rule.span)
        )

    def _sign_ins(self, start: int | None = None, end: int | None = None) -> Query:
        return query(
            "sign_ins",
            start=self.window.start if start is None else start,
            end=self.window.end if end is None else end,
            now=self.now,
        )

    def _operations(self, start: int, end: int) -> Query:
        statuses = self.rule.success_statuses
        return query("operations", start=start, end=end, now=self.now, statuses=statuses)

    def _statuses(self) -> tuple[str, ...]:
        return tuple(map(ascii_lower, self.rule.success_statuses))
