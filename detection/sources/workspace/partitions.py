"""Partitions of a window that is too large for one answer or for memory: ranges of hash buckets."""

from bisect import bisect_left
from collections.abc import Iterator, Mapping
from itertools import accumulate

from detection.kql.constants import BUCKETS


def group_buckets(counts: Mapping[int, int], most: int) -> Iterator[range]:
    """Group all buckets, empty ones too, into neighbours that hold at most `most` rows together.

    `counts` are the rows of each bucket. A bucket that holds more stands alone: it may be a single
    identity.
    """
    start = held = 0
    for bucket in range(BUCKETS):
        rows = counts.get(bucket, 0)
        if held and held + rows > most:
            yield range(start, bucket)
            start, held = bucket, 0
        held += rows
    yield range(start, BUCKETS)


def split(partition: range, counts: Mapping[int, int]) -> tuple[range, range]:
    """Split a partition of two or more buckets, where half of the rows counted lie before."""
    before = list(accumulate(counts.get(bucket, 0) for bucket in partition))
    middle = partition.start + bisect_left(before, before[-1] / 2) + 1
    middle = min(middle, partition.stop - 1)
    return range(partition.start, middle), range(middle, partition.stop)
