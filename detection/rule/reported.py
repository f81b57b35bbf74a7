"""A finding in the ledger: the operations reported in it, and the sum that its score is made from.

Operations are kept as hashed keys with their latest times, encoded in compact records, because
there may be millions of them.
"""

import hashlib
import struct
from collections.abc import Mapping
from dataclasses import dataclass, field

from detection.rule.correlate import Key

HASH_BYTES = 16
_RECORD = struct.Struct(f">{HASH_BYTES}sq")  # a hashed key and a time in ticks


@dataclass(slots=True)
class Reported:
    """A finding that was emitted, with the operations reported in it.

    `opened` is the end of the window that opened it. `last_seen` is the latest time at which a run
    matched one of its operations. `encoded` holds operations as encode_operations() writes them,
    `pending` those that are not encoded yet. `summary` is the encoded sum of all its revisions,
    from which its score and evidence are made; empty if no revision has been summed up.
    """

    finding_id: str
    revision: int
    opened: int
    last_seen: int
    pending: Mapping[Key, int] = field(default_factory=dict)
    encoded: bytes = b""
    summary: bytes = b""

    def operations(self) -> dict[bytes, int]:
        """Return the latest time of each operation by its hashed key."""
        return decode_operations(self.encoded) | {
            hash_key(key): time for key, time in self.pending.items()
        }

    def encode(self) -> None:
        """Encode the pending operations."""
        if self.pending:
            self.encoded, self.pending = encode_operations(self.operations()), {}


def hash_key(key: Key) -> bytes:
    """Return the key's 16-byte hash, which keeps the ledger small.

    Keys from a workspace's cluster are hashed already.
    """
    if isinstance(key, bytes):
        return key
    return hashlib.sha256(key.encode("utf-8", "surrogatepass")).digest()[:HASH_BYTES]


def encode_operations(operations: Mapping[bytes, int]) -> bytes:
    """Encode hashed keys and times in compact records."""
    return b"".join(sorted(map(_RECORD.pack, operations.keys(), operations.values())))


def decode_operations(encoded: bytes) -> dict[bytes, int]:
    """Decode the output of encode_operations(); raises ValueError for anything else."""
    if len(encoded) % _RECORD.size:
        raise ValueError(f"{len(encoded)} bytes are not a whole number of operations")
    return dict(_RECORD.iter_unpack(encoded))
