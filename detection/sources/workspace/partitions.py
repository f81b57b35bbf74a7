"""Partitions of a window that is too large for one answer or for memory: ranges of hash buckets."""

from bisect import bisect_left
from collections.abc import Iterator, Mapping
from itertools import accumulate

from detection.kql.constants import BUCKETS


def group_buckets(counts: Mapping[int, int], max_rows: int) -> Iterator[range]:
    """Yield partitions of neighbouring buckets that hold at most `max_rows` rows each.

    Together they are all buckets, empty ones included. `counts` maps a bucket to its number of
    rows. A bucket with more than `max_rows` is a partition alone: it may be a single identity.
    """
    start = grouped = 0
    for bucket in range(BUCKETS):
        rows = counts.get(bucket, 0)
        if grouped and grouped + rows > max_rows:
            yield range(start, bucket)
            start, grouped = bucket, 0
        grouped += rows
    yield range(start, BUCKETS)


def split(partition: range, counts: Mapping[int, int]) -> tuple[range, range]:
    """Split a partition of two or more buckets so that both halves hold about as many rows."""
    cumulative = list(accumulate(counts.get(bucket, 0) for bucket in partition))
    middle = partition.start + bisect_left(cumulative, cumulative[-1] / 2) + 1
    middle = min(middle, partition.stop - 1)
    return range(partition.start, middle), range(middle, partition.stop)
