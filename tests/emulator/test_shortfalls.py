"""docs/local.md lists what the emulator cannot run, and all of it is refused with a message."""

import re

import pytest

from detection.rule.ticks import parse_time
from emulator.kusto.workspace import QueryRefused, Workspace
from tests.support import OPERATIONS, ROOT

NOW = parse_time("2026-03-14T10:00:00Z")
PAGE = (ROOT / "docs" / "local.md").read_text("utf-8")
LISTS = re.compile(r"^- (?:Operators|Functions): .*?\.$", re.DOTALL | re.MULTILINE)
# A query with each operator or function that the page names.
REFUSED = {
    "mv-apply": f"{OPERATIONS} | mv-apply X = Claims_d.groups on (summarize make_list(X))",
    "make-series": f"{OPERATIONS} | make-series count() on TimeGenerated step 1h",
    "evaluate": f"{OPERATIONS} | evaluate bag_unpack(Claims_d)",
    "parse": f"{OPERATIONS} | parse OperationNameValue with Provider '/' Rest",
    "search": "search 'id-1'",
    "find": "find where Caller == 'id-1'",
    "externaldata": "externaldata(Name: string) ['https://example.com/a.csv']",
    "scan": f"{OPERATIONS} | sort by TimeGenerated asc | scan with (step one: true;)",
    "top-nested": f"{OPERATIONS} | top-nested 2 of Caller by count()",
    "sample": f"{OPERATIONS} | sample 1",
    "project-reorder": f"{OPERATIONS} | project-reorder Caller",
    "workspace": f"workspace('another').{OPERATIONS} | take 1",
    "ipv4_is_in_range": "print ipv4_is_in_range('10.0.0.1', '10.0.0.0/8')",
    "ipv4_is_private": "print ipv4_is_private('10.0.0.1')",
    "geo_info_from_ip_address": "print geo_info_from_ip_address('192.0.2.1')",
    "url_decode": "print url_decode('a%20b')",
    "format_timespan": "print format_timespan(1h, 'hh')",
    "bag_keys": "print bag_keys(dynamic({'a': 1}))",
    "set_difference": "print set_difference(dynamic([1, 2]), dynamic([2]))",
    "next": f"{OPERATIONS} | sort by TimeGenerated asc | extend Following = next(Caller)",
    "rand": "print rand()",
    "new_guid": "print new_guid()",
    "series_": "print series_stats(dynamic([1, 2]))",
    "let": f"let F = (who: string) {{ {OPERATIONS} | where Caller == who }}; F('id-1')",
}


def test_the_page_names_each() -> None:
    """The page lists these operators and functions, and no others."""
    listed = "".join(
        re.findall(r"^- (?:Operators|Functions): .*?\.$", PAGE, re.DOTALL | re.MULTILINE)
    )
    assert set(re.findall(r"`([\w-]+)`", listed)) == REFUSED.keys()


@pytest.mark.parametrize("name", REFUSED)
def test_it_is_refused(name: str) -> None:
    """The query is refused with a message that says what the emulator cannot do."""
    workspace = Workspace({OPERATIONS: []})
    with pytest.raises(QueryRefused, match="this emulator cannot run what Log Analytics may"):
        workspace.ask(REFUSED[name], NOW)
