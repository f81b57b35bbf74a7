"""The identities of generated logs, their resource groups and how often each occurs.

The case sets the sizes, and one seed sets every name, so "half", "large" and "double" have the
same identities and differ in the number of rows alone.
"""

import random
from dataclasses import dataclass
from itertools import accumulate

from bench.cases import Case

SUBSCRIPTIONS = 40
GROUPS_AN_IDENTITY = (1, 4)
WORKLOADS = ("app", "etl", "func", "aks", "ci", "web", "sync", "bot")


@dataclass(frozen=True, slots=True)
class Group:
    """A resource group: its name in several spellings, and the prefix of its resource ids.

    Within one log Azure spells a group in several ways, with one spelling the most frequent.
    """

    spellings: tuple[str, ...]
    subscription: str
    prefix: str


@dataclass(frozen=True, slots=True)
class Identity:
    """A managed identity and the resource groups it works in."""

    id: str
    name: str
    groups: tuple[Group, ...]


def guids(source: random.Random, number: int) -> list[str]:
    """Return `number` random GUIDs."""
    text = source.randbytes(16 * number).hex()
    return [
        f"{text[i : i + 8]}-{text[i + 8 : i + 12]}-{text[i + 12 : i + 16]}"
        f"-{text[i + 16 : i + 20]}-{text[i + 20 : i + 32]}"
        for i in range(0, 32 * number, 32)
    ]


def populate(case: Case) -> list[Identity]:
    """Return the identities of the case, the most popular first."""
    source = random.Random("population")
    subscriptions = guids(source, SUBSCRIPTIONS)
    identities = []
    for number, identity in enumerate(guids(source, case.identities)):
        workload = source.choice(WORKLOADS)
        subscription = source.choice(subscriptions)
        groups = source.randint(*GROUPS_AN_IDENTITY)
        if case.hot_groups and number == 0:
            groups = case.hot_groups
        identities.append(
            Identity(
                id=identity,
                name=f"id-{workload}-{number}",
                groups=tuple(
                    _group(f"rg-{workload}-{number % 5000}{part:x}", subscription)
                    for part in range(groups)
                ),
            )
        )
    return identities


def draw(case: Case, identities: list[Identity], source: random.Random) -> list[Identity]:
    """Return the identity of each row: Zipf with exponent 1.0, with the hot rows mixed in."""
    weights = list(accumulate(1 / rank for rank in range(1, len(identities) + 1)))
    drawn = source.choices(identities, cum_weights=weights, k=case.rows)
    if case.hot_rows:
        drawn += identities[:1] * case.hot_rows
        source.shuffle(drawn)
    return drawn


def _group(name: str, subscription: str) -> Group:
    return Group(
        spellings=(name,) * 8 + (name.upper(), name.title()),
        subscription=subscription,
        prefix=f"/subscriptions/{subscription}/resourcegroups/{name}/providers/",
    )
