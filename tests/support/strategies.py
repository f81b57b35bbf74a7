"""Random rows for property tests, drawn from small pools of values so that they often match.

Each example first draws a few values for each column, then its rows from those values. So
identities match, events repeat, times tie or lie exactly a span apart, and findings reach their
caps.
"""

from collections.abc import Sequence
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta, timezone
from typing import Any

from hypothesis import strategies as st

from detection.rule.log_rows import OPERATION_TABLE, SIGN_IN_TABLE, Logs, TableShape
from detection.rule.ticks import TimeParser

Row = dict[str, str | None]
Values = dict[str, tuple[Sequence[str | None], Sequence[str | None]]]  # usual values and odd values

HOUR = 36_000_000_000
END = 17_724_528_000_000_000  # 2026-03-02T12:00:00Z
START = END - 2 * HOUR

GUID = "11111111-aaaa-4bbb-8ccc-000000000001"
ODD_TEXT = (None, "", " ", "\t\u00a0", "\u0130", "i\u0307", "\u00df", "ss", "\u00e9", "\u00c9")
IDENTITIES = (GUID, GUID.upper(), GUID.title(), "k", "K", "\u212a", GUID)
NIL = "00000000-0000-0000-0000-000000000000"
EVENT_IDS = (None, "", " ", NIL, "0", "e1", "e2", "E2", "e3", " e1", "~", "~~", "~[]", "00000000-1")
NAMES = ("app", "App", "APP", "web", "", None)
CORRELATIONS = (None, "c1", "C1", "c2")

SIGN_IN_VALUES: Values = {
    "ServicePrincipalId": (IDENTITIES, ODD_TEXT),
    "ResultType": (("0",), ("7000232", "00", "0 ", "", None)),
    "ResourceDisplayName": (
        ("Azure Key Vault", "azure key vault", *(f"Storage {n}" for n in range(8)), "x_BLOB"),
        ("AzureKeyVault", "Key  Vault", "Monkey Vault", "StorageSync", "blob\u00e9", *ODD_TEXT),
    ),
    "ServicePrincipalName": (NAMES, ODD_TEXT),
    "IPAddress": (("", None, "198.51.100.9"), ("10.0.0.1", "10.0.0.9 ", "2001:DB8::7", "x", " ")),
    "Id": (EVENT_IDS, ODD_TEXT),
    "ResourceIdentity": (("r1", "R1", None), ODD_TEXT),
    "CorrelationId": (CORRELATIONS, ODD_TEXT),
}
OPERATION_VALUES: Values = {
    "Caller": (IDENTITIES, ODD_TEXT),
    "OperationNameValue": (
        (
            "MICROSOFT.KEYVAULT/VAULTS/WRITE",
            "Microsoft.KeyVault/vaults/write",
            "Microsoft.Web/sites/Delete",
            *(f"Microsoft.Web/s{n}/write" for n in range(12)),
        ),
        ("a/read/write", "a/LIST/delete", "a_get_write", "a/overwrite", "a/listKeys", *ODD_TEXT),
    ),
    "ActivityStatusValue": (
        ("Success", "success"),
        ("Succeeded", "SUCCEEDED", "Start", "Success ", "\u017fuccess", None),
    ),
    "ResourceGroup": (("rg", "RG", "Rg", "rg2"), ODD_TEXT),
    "ResourceId": ((None, "", "/r/1", "/R/1", *(f"/r/{n}" for n in range(2, 14))), ODD_TEXT),
    "_ResourceId": ((None, "", "/r/1", "/r/own"), ODD_TEXT),
    "SubscriptionId": (tuple("aAbBcdefg"), ODD_TEXT),
    "CallerIpAddress": (
        ("", None, "2001:db8::a", "2001:DB8::A", *(f"192.0.2.{n}" for n in range(12))),
        ODD_TEXT,
    ),
    "EventDataId": ((*EVENT_IDS, *(f"o{n}" for n in range(9))), ODD_TEXT),
    "CorrelationId": (CORRELATIONS, ODD_TEXT),
}


def _nasty(others: st.SearchStrategy[str]) -> st.SearchStrategy[str]:
    some = st.sampled_from(
        "aA1_-/. \t\u0130\u0131\u00df\u00e9\u0301\u212aKk\u017fS\u0661\u00b2\u2167"
    )
    return st.text(st.one_of(some, others), max_size=10)


NASTY = _nasty(st.characters())
# Without halves of surrogate pairs, which no database can store and decoded logs do not contain:
# tests/sources/decode/test_response.py tests their replacement.
NASTY_IN_DATABASES = _nasty(st.characters(exclude_categories=["Cs"]))
SPANS = st.sampled_from((HOUR, HOUR, HOUR, 600_000_000, 1, 0))
STATUSES = st.sampled_from(
    (("Success",), ("Success",), ("success", "Succeeded"), ("Success",), ("Start",), ())
)
STYLES = st.sampled_from(((0,), (0, 1), (2, 3)))
SIZES = st.sampled_from((3, 1, 2, 6, 12, 24, 0))
WIDE = 160  # a column's pool is wide if its first byte is at least this
RARE = 215  # and it holds odd values if its second byte is at least this

FOUR = (
    *("0.0.0.0", "9.255.255.255", "10.0.0.0", "10.0.0.1", "10.0.0.8", "10.0.0.9", "10.0.0.10"),
    *("10.0.1.0", "10.255.255.255", "11.0.0.0", "192.0.2.7", "255.255.255.255"),
)
SIX = (
    *("::", "::1", "2001:db8::7", "2001:DB8::8", "2001:db8:0:0:0:0:0:9", "::ffff:10.0.0.1"),
    *("2001:db8::10.0.0.9", "ffff:ffff:ffff:ffff:ffff:ffff:ffff:ffff"),
)
UNREADABLE = (
    *("", " ", "-", "/", "10.0.0.01", "10.0.0", "10.0.0.0.0", "10.0.0.256", "10.0.0.0/33"),
    *("10.0.0.0/", "10.0.0.0/08", "10.0.0.0/-1", "10.0.0.0/+8", "10.0.0.0 /8", "10.0.0.0//8"),
    *("10.0.0.0/255.0.0.0", "10.0.0.9-10.0.0.1", "10.0.0.0/8-10.0.0.9", "10.0.0.1-10.0.0.2-"),
    *("10.0.0.1-::1", "::1-10.0.0.1", "::/129", ":::", "fe80::1%eth0", "1::2::3", "12345::"),
    *("1" * 400, "10.0.0.0/" + "9" * 400, "1\u0661.0.0.1", "10.0.0.0/1\u0666", "corp \u2013 vpn"),
    *("10.0.0.1\x00", "10.0.0.1\n10.0.0.9", "*", "0x0a000001", "167772161", "[::1]", "::1/"),
)
ADDRESSES = st.one_of(
    st.sampled_from((*FOUR, *SIX, " 10.0.0.1 ", "\t::1\n", *UNREADABLE)),
    st.ip_addresses(v=4).map(str),
    st.ip_addresses(v=6).map(str),
    NASTY,
)
BLANKS = st.sampled_from(("", "", " ", "\t", " \u00a0"))


@dataclass(frozen=True)
class Scenario:
    """One window's rows, with the settings that apply to them."""

    sign_ins: list[Row]
    operations: list[Row]
    allowlist: list[str]
    span: int
    statuses: tuple[str, ...]
    start: int = START
    end: int = END

    @property
    def window(self) -> tuple[int, int]:
        """Return start and end of the window in ticks."""
        return self.start, self.end

    @property
    def naive_arguments(
        self,
    ) -> tuple[list[Row], list[Row], list[str], tuple[int, int], int, tuple[str, ...]]:
        """Return the arguments of the naive reading of the rule, in its order."""
        return (
            self.sign_ins,
            self.operations,
            self.allowlist,
            self.window,
            self.span,
            self.statuses,
        )

    def logs(self) -> Logs:
        """Return the rows as tuples that the rule reads."""
        return as_logs(self.sign_ins, self.operations, self.allowlist)


def as_logs(
    sign_ins: Sequence[Row], operations: Sequence[Row], allowlist: Sequence[str] = ()
) -> Logs:
    """Return rows as tuples that the rule reads, with nulls as empty text."""
    return Logs(
        sign_ins=_tuples(SIGN_IN_TABLE, sign_ins),
        operations=_tuples(OPERATION_TABLE, operations),
        allowlist=list(allowlist),
        states={},
    )


def _tuples(table: TableShape, rows: Sequence[Row]) -> list[Any]:
    time, *texts = table.columns
    times = TimeParser().parse_column([row[time] for row in rows])
    return [
        (at, *(row.get(column) or "" for column in texts))
        for at, row in zip(times, rows, strict=True)
    ]


def written(ticks: int, style: int = 0) -> str:
    """Return a time in one of the four formats that log rows have."""
    seconds, fraction = divmod(ticks, 10_000_000)
    zone = timezone(timedelta(hours=2)) if style == 2 else UTC
    moment = datetime(1970, 1, 1, tzinfo=UTC) + timedelta(seconds=seconds)
    digits = f".{fraction:07d}" if style == 0 else f".{fraction:07d}".rstrip("0").rstrip(".")
    suffix = ("Z", "Z", "+02:00", "")[style]
    return moment.astimezone(zone).strftime("%Y-%m-%dT%H:%M:%S") + digits + suffix


def moments(span: int) -> list[int]:
    """Return times at, beside and a span away from the window's edges and its middle."""
    edges = {START, START + 1, END, START + HOUR, START + HOUR + 7}
    apart = {edge + step for edge in edges for step in (-span, 0, span)}
    beside = {time + tick for time in apart for tick in (-1, 0, 1)}
    return sorted(time for time in beside if START <= time <= END + 1)


@st.composite
def written_times(draw: st.DrawFn, span: int) -> list[str]:
    """Draw the few times at which all events of a window occur, some in several formats."""
    near = st.one_of(st.sampled_from(moments(span)), st.integers(START - 9, END + 9))
    drawn = draw(st.lists(near, min_size=1, max_size=8))
    return [written(time, style) for time in drawn for style in draw(STYLES)]


@st.composite
def tables(
    draw: st.DrawFn, values: Values, times: Sequence[str], size: int, nasty: str | None
) -> list[Row]:
    """Draw a table of `size` rows and up to three repeats; without `nasty`, of usual values only.

    A byte selects each value, because Hypothesis draws and shrinks one string of bytes much faster
    than hundreds of choices.
    """
    pools: list[Sequence[str | None]] = [times]
    spec = draw(st.binary(min_size=3 * len(values), max_size=3 * len(values)))
    for (usual, odd), first, width, strange in zip(
        values.values(), spec[0::3], spec[1::3], spec[2::3], strict=True
    ):
        start = first % len(usual)
        few = min(2, len(usual)) if width < WIDE else len(usual)
        pool = [*usual[start:], *usual[:start]][: 1 + width % few]
        if nasty is not None and strange >= RARE:
            pool += [odd[strange % len(odd)], nasty]
        pools.append(pool)
    drawn = draw(
        st.lists(st.binary(min_size=len(pools), max_size=len(pools)), min_size=size, max_size=size)
    )
    drawn += drawn[: draw(st.integers(0, 3))]
    columns = ("TimeGenerated", *values)
    return [
        {column: pool[at % len(pool)] for column, pool, at in zip(columns, pools, row, strict=True)}
        for row in drawn
    ]


@st.composite
def entries(draw: st.DrawFn) -> str:
    """Draw an allowlist entry: an address, a CIDR block, a range or an unreadable text."""
    kind = draw(st.integers(0, 3))
    if kind == 0:
        return draw(ADDRESSES)
    low = draw(ADDRESSES)
    before, after = draw(BLANKS), draw(BLANKS)
    if kind == 1:
        prefix = draw(st.sampled_from((0, 1, 8, 24, 29, 31, 32, 33, 64, 127, 128, 129)))
        return f"{before}{low}/{prefix}{after}"
    return f"{before}{low}{after}-{before}{draw(ADDRESSES)}{after}"


@st.composite
def wild(draw: st.DrawFn, texts: st.SearchStrategy[str] = NASTY) -> Scenario:
    """Draw a window with odd values and any span, statuses and allowlist."""
    span, nasty = draw(SPANS), draw(texts)
    times = draw(written_times(span))
    return Scenario(
        sign_ins=draw(tables(SIGN_IN_VALUES, times, draw(SIZES), nasty)),
        operations=draw(tables(OPERATION_VALUES, times, draw(SIZES), nasty)),
        allowlist=draw(st.lists(entries(), max_size=3)),
        span=span,
        statuses=draw(STATUSES),
    )


@st.composite
def calm(draw: st.DrawFn) -> Scenario:
    """Draw a window of usual values only, with so many pairs that the caps are reached."""
    times, size = draw(written_times(HOUR)), draw(st.sampled_from((16, 32)))
    return Scenario(
        sign_ins=draw(tables(SIGN_IN_VALUES, times, size, None)),
        operations=draw(tables(OPERATION_VALUES, times, size, None)),
        allowlist=[],
        span=HOUR,
        statuses=("Success",),
    )


def scenarios(texts: st.SearchStrategy[str] = NASTY) -> st.SearchStrategy[Scenario]:
    """Return windows of both kinds; the odd values come from `texts`."""
    return st.one_of(wild(texts), calm())


def sign_in(**columns: str | None) -> Row:
    """Return a sign-in to Key Vault an hour into the window, updated with `columns`."""
    row: Row = {
        "TimeGenerated": written(START + HOUR),
        "ServicePrincipalId": GUID,
        "ServicePrincipalName": "app",
        "ResultType": "0",
        "ResourceDisplayName": "Azure Key Vault",
        "IPAddress": "",
        "Id": "s1",
    }
    return row | columns


def operation(**columns: str | None) -> Row:
    """Return a write by the same identity at the same time, updated with `columns`."""
    row: Row = {
        "TimeGenerated": written(START + HOUR),
        "Caller": GUID,
        "OperationNameValue": "MICROSOFT.KEYVAULT/VAULTS/WRITE",
        "ActivityStatusValue": "Success",
        "ResourceGroup": "rg",
        "ResourceId": "/r/1",
        "SubscriptionId": "a",
        "EventDataId": "o1",
    }
    return row | columns
