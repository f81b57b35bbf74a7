"""Files of Log Analytics and `az` are decoded completely, or refused with a clear error."""

import json
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import orjson
import pytest
from hypothesis import example, given
from hypothesis import strategies as st

from detection.errors import SourceError
from detection.rule.ticks import DAY, parse_time
from detection.sources.recorded.folder import RecordedSource
from detection.window import Mode, Window
from tests.support import ALLOWLIST, OPERATIONS, read_operations, response

TEN = "2026-03-14T10:00:00Z"
AT = parse_time(TEN)
COLUMNS = [
    *("TimeGenerated", "Caller", "ResourceGroup", "EventDataId"),
    *("OperationNameValue", "ActivityStatusValue"),
]
REQUIRED = ("TimeGenerated", "Caller", "OperationNameValue", "ActivityStatusValue")
SURROGATES = st.text(
    st.one_of(
        st.sampled_from('ab\\"/\n\ud800\udbff\udc00\udfff\ud83d\ude00\ufffd\ufeff'),
        st.characters(categories=("L", "Cs", "So", "Zs", "Cc")),
    ),
    max_size=8,
)
CELLS = st.one_of(
    st.none(),
    st.booleans(),
    st.integers(-2, 2),
    st.integers(-2, 2).map(float),
    st.sampled_from(("", "a", "1", "true", "null", "None")),
    st.lists(st.integers(0, 1), max_size=1),
    st.dictionaries(st.sampled_from("ab"), st.integers(0, 1), max_size=1),
)
# Text that looks like the delimiters of the document around it.
DELIMITERS = (
    *("],[", '],["', "}, {", '"rows":[[', '{"rows":[["x"]]}', '\\"rows\\":[[', "]]}]}", "[", "]"),
    *('"', "\\", '\\"', '"],["', '"},{"a":"', "\n", ""),
)


@pytest.fixture(scope="module")
def scratch(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Return a folder that every test and every example overwrites."""
    return tmp_path_factory.mktemp("recorded")


def row(caller: object = "a", group: object = "x", event_id: object = "e") -> list[Any]:
    """Return a row of the columns."""
    return [TEN, caller, group, event_id, "a/write", "Success"]


def as_objects(rows: Sequence[Sequence[object]]) -> list[dict[str, object]]:
    """Return rows as `az` prints them."""
    return [dict(zip(COLUMNS, each, strict=True)) for each in rows]


TWO = [row("a", "x"), row("b", "y")]


def read_body(folder: Path, body: bytes) -> list[dict[str, Any]]:
    """Return the rows of a table with this body."""
    (folder / f"{OPERATIONS}.json").write_bytes(body)
    window = Window(AT - DAY, AT, Mode.SCHEDULED)
    return read_operations(RecordedSource(folder).read(window, AT))


def read(folder: Path, document: object) -> list[dict[str, Any]]:
    """Return the rows of a table with this document."""
    return read_body(folder, json.dumps(document).encode())


def column(rows: list[dict[str, Any]], name: str) -> list[Any]:
    """Return one column of the rows."""
    return [each[name] for each in rows]


def refused_body(folder: Path, body: bytes) -> str:
    """Return the error for a body; it names the file and is one line."""
    with pytest.raises(SourceError) as caught:
        read_body(folder, body)
    message = str(caught.value)
    assert message.startswith(f"{folder / OPERATIONS}.json: ")
    assert "\n" not in message
    return message


def refused(folder: Path, document: object) -> str:
    """Return the error for a document."""
    return refused_body(folder, json.dumps(document).encode())


def kql_tostring(cell: object) -> str:
    """Return the result of KQL's tostring()."""
    if cell is None or isinstance(cell, str):
        return cell or ""
    return json.dumps(cell, separators=(",", ":"))


# Accepted documents.


@pytest.mark.parametrize("indent", [None, 0, 2])
@pytest.mark.parametrize("objects", [True, False])
def test_both_forms_are_read(scratch: Path, indent: int | None, *, objects: bool) -> None:
    """An API response and an array of row objects give the same rows, in any layout."""
    document: object = as_objects(TWO) if objects else response(COLUMNS, TWO)
    rows = read_body(scratch, json.dumps(document, indent=indent).encode() + b"\r\n")
    assert column(rows, "TimeGenerated") == [AT, AT]
    assert column(rows, "Caller") == ["a", "b"]
    assert column(rows, "ResourceGroup") == ["x", "y"]


@pytest.mark.parametrize("objects", [True, False])
@pytest.mark.parametrize("separators", [(",", ":"), (", ", ": "), (" ,\n ", " : ")])
def test_a_large_table_is_read_row_by_row(
    scratch: Path, separators: tuple[str, str], *, objects: bool
) -> None:
    """Thousands of rows are read in order, though their texts look like delimiters."""
    rows = [
        row(
            f"caller {n % 7}", DELIMITERS[n % len(DELIMITERS)] * (n % 3), f"{n}{DELIMITERS[n % 11]}"
        )
        for n in range(4_000)
    ]
    rows[1_234][2] = {"rows": [["x"], ["y"]], "tables": [{"rows": []}]}
    document: object = as_objects(rows) if objects else response(COLUMNS, rows)
    found = read_body(scratch, json.dumps(document, separators=separators).encode())
    assert column(found, "Caller") == [each[1] for each in rows]
    assert column(found, "ResourceGroup") == [kql_tostring(each[2]) for each in rows]
    assert column(found, "EventDataId") == [each[3] for each in rows]


@given(st.lists(st.tuples(st.sampled_from(DELIMITERS), st.sampled_from(DELIMITERS)), max_size=4))
def test_texts_like_delimiters_are_texts(scratch: Path, texts: list[tuple[str, str]]) -> None:
    """Brackets, quotes and key words inside a text do not split a row."""
    rows = [row(*pair) for pair in texts]
    for document in (response(COLUMNS, rows), as_objects(rows)):
        found = read(scratch, document)
        assert column(found, "Caller") == [caller for caller, _ in texts]
        assert column(found, "ResourceGroup") == [group for _, group in texts]


def test_columns_may_be_in_any_order_and_more_than_wanted(scratch: Path) -> None:
    """Columns are found by name, whatever stands beside and between them."""
    names = ["Z", *reversed(COLUMNS), "rows"]
    (found,) = read(scratch, response(names, [[1, *reversed(row("c", "g")), []]]))
    assert (found["Caller"], found["ResourceGroup"]) == ("c", "g")


def test_the_table_may_have_any_name(scratch: Path) -> None:
    """A response with one table is read under any name."""
    document = response(COLUMNS, TWO)
    for name in ("Table_0", "", None):
        document["tables"][0]["name"] = name
        assert len(read(scratch, document)) == 2
    del document["tables"][0]["name"]
    assert len(read(scratch, document)) == 2


@pytest.mark.parametrize("first", [True, False])
def test_of_several_tables_the_primary_result_is_read(scratch: Path, *, first: bool) -> None:
    """Among other tables, the one named PrimaryResult is read, wherever it stands."""
    document = response(COLUMNS, TWO)
    other = response(["x"], [[1], [2]])["tables"][0] | {"name": "Statistics"}
    document["tables"] = [*document["tables"], other] if first else [other, *document["tables"]]
    assert column(read(scratch, document), "Caller") == ["a", "b"]


def test_other_parts_of_a_response_are_ignored(scratch: Path) -> None:
    """Statistics before and after the table are ignored, even if they contain rows."""
    extra = {"rows": [[1], [2]], "tables": [{"rows": [[3]]}]}
    document = {"statistics": extra, **response(COLUMNS, TWO), "render": extra, "x": [[4], [5]]}
    document["tables"][0] |= {"more": [[6], [7]]}
    assert column(read(scratch, document), "Caller") == ["a", "b"]


def test_a_table_without_rows_is_empty(scratch: Path) -> None:
    """A table without rows is valid, in either form."""
    assert read(scratch, response(COLUMNS, [])) == []
    assert read(scratch, []) == []


def test_a_byte_order_mark_is_ignored(scratch: Path) -> None:
    """UTF-8 with a byte order mark reads as without, in either form."""
    for document in (response(COLUMNS, TWO), as_objects(TWO)):
        body = b"\xef\xbb\xbf" + json.dumps(document).encode()
        assert column(read_body(scratch, body), "Caller") == ["a", "b"]


def test_a_byte_order_mark_and_half_a_pair_are_read_together(scratch: Path) -> None:
    """A byte order mark does not disturb the second parse of a body with half a surrogate pair."""
    body = b"\xef\xbb\xbf" + json.dumps(as_objects([row("\ud800")])).encode()
    assert column(read_body(scratch, body), "Caller") == ["\ufffd"]


def test_a_column_that_may_be_absent_is_all_null(scratch: Path) -> None:
    """An optional column that is absent reads as empty text."""
    rows = [[TEN, "a", "a/write", "Success"]] * 2
    found = read(scratch, response(list(REQUIRED), rows))
    assert column(found, "ResourceGroup") == column(found, "EventDataId") == ["", ""]


def test_a_value_left_out_of_a_row_object_is_null(scratch: Path) -> None:
    """Row objects may have different keys."""
    first, second = as_objects(TWO)
    del first["ResourceGroup"], second["Caller"], second["EventDataId"]
    found = read(scratch, [first, second])
    assert column(found, "Caller") == ["a", ""]
    assert column(found, "ResourceGroup") == ["", "y"]
    assert column(found, "EventDataId") == ["e", ""]


def test_az_writes_null_as_none(scratch: Path) -> None:
    """In rows printed by `az`, which have TableName, the text None is null."""
    rows = as_objects([row("None", "none", "None")])
    assert column(read(scratch, rows), "Caller") == ["None"]
    printed = [each | {"TableName": "PrimaryResult"} for each in rows]
    (found,) = read(scratch, printed)
    assert (found["Caller"], found["ResourceGroup"], found["EventDataId"]) == ("", "none", "")


@pytest.mark.parametrize("times", [1, 30, 2_000])
@pytest.mark.parametrize(
    ("cell", "text"),
    [
        *((None, ""), ("", ""), ("x", "x"), (0, "0"), (50057, "50057"), (1.5, "1.5")),
        *((True, "true"), (False, "false"), ([], "[]"), ({"a": [1]}, '{"a":[1]}')),
    ],
)
def test_other_cells_read_as_their_json(scratch: Path, cell: object, text: str, times: int) -> None:
    """Null is empty; numbers, truth values and objects read as their JSON, in any number."""
    cells, expected = [cell, "z", 7, None] * times, [text, "z", "7", ""] * times
    found = read(scratch, response(COLUMNS, [row("a", each, each) for each in cells]))
    assert column(found, "ResourceGroup") == expected
    assert column(found, "EventDataId") == expected


@given(st.lists(st.tuples(CELLS, CELLS), max_size=8))
@example([(1, 1), (True, True), (1.0, 1.0), ("1", "1")])
@example([(True, True), (1, 1), (0, 0), (False, False), (0.0, 0.0), ([], []), (1, 1)])
def test_mixed_cells_read_one_by_one(scratch: Path, cells: list[tuple[object, object]]) -> None:
    """Equal values of different types, such as 1, true and 1.0, keep their own text."""
    found = read(scratch, response(COLUMNS, [row("a", *pair) for pair in cells]))
    assert column(found, "ResourceGroup") == [kql_tostring(first) for first, _ in cells]
    assert column(found, "EventDataId") == [kql_tostring(second) for _, second in cells]


@given(SURROGATES, SURROGATES)
def test_half_of_a_surrogate_pair_is_a_replacement_character(
    scratch: Path, left: str, right: str
) -> None:
    """Only the lone half of a surrogate pair is replaced, and the text can be encoded."""

    def naive(text: str) -> str:
        found = ""
        while text:
            if "\ud800" <= text[0] <= "\udbff" and "\udc00" <= text[1:2] <= "\udfff":
                high, low = ord(text[0]) - 0xD800, ord(text[1]) - 0xDC00
                found, text = found + chr(0x10000 + high * 0x400 + low), text[2:]
            else:
                half = "\ud800" <= text[0] <= "\udfff"
                found, text = found + ("\ufffd" if half else text[0]), text[1:]
        return found

    (found,) = read(scratch, response(COLUMNS, [row("a", left, right)]))
    assert (found["ResourceGroup"], found["EventDataId"]) == (naive(left), naive(right))
    orjson.dumps(found)


def test_a_lone_half_does_not_change_the_other_cells(scratch: Path) -> None:
    """A lone half leaves numbers, objects and text beside it unchanged."""
    cells = ("\ud800\xe9\U0001f600", {"n": 1.25, "t": True})
    (found,) = read(scratch, response(COLUMNS, [row("a", *cells)]))
    assert found["ResourceGroup"] == "\ufffd\xe9\U0001f600"
    assert found["EventDataId"] == '{"n":1.25,"t":true}'


def test_a_moderately_nested_cell_is_text(scratch: Path) -> None:
    """Dynamic columns such as claims may nest."""
    cell: object = "x"
    for _ in range(50):
        cell = {"a": [cell]}
    (found,) = read(scratch, response(COLUMNS, [row("a", cell)]))
    assert json.loads(found["ResourceGroup"]) == cell


# Refused documents.


@pytest.mark.parametrize("encoding", ["utf-16", "utf-16-le", "utf-16-be"])
def test_utf_16_is_read(scratch: Path, encoding: str) -> None:
    """A UTF-16 file with a byte order mark gives the rows that it gives in UTF-8."""
    mark = "\ufeff" if encoding.endswith("e") else ""
    body = (mark + json.dumps(as_objects([row("\u00fc\U0001f600")]))).encode(encoding)
    assert column(read_body(scratch, body), "Caller") == ["\u00fc\U0001f600"]


@pytest.mark.parametrize("encoding", ["utf-16-le", "utf-16-be", "utf-32"])
def test_other_unicode_encodings_are_refused(scratch: Path, encoding: str) -> None:
    """UTF-16 without a mark, and UTF-32, give an error that says what to save instead."""
    message = refused_body(scratch, json.dumps(as_objects(TWO)).encode(encoding))
    assert "save it as UTF-8" in message


def test_damaged_utf_16_is_refused(scratch: Path) -> None:
    """Half of a surrogate pair outside of an escape is an error."""
    assert "is damaged UTF-16" in refused_body(scratch, b"\xff\xfe[\x00\x00\xd8]\x00")


def test_other_encodings_are_refused(scratch: Path) -> None:
    """The error gives the position of the first byte that is not UTF-8."""
    body = json.dumps(response(COLUMNS, [row("\xe4")]), ensure_ascii=False)
    assert "is not UTF-8 at byte " in refused_body(scratch, body.encode("latin-1"))


@pytest.mark.parametrize(
    "body",
    [
        *(b"{", b"nul", b"[1,]", b"{'tables': []}", b'{"tables": [NaN]}', b"[Infinity]"),
        *(b"[-Infinity]", b'[{"TimeGenerated": NaN}]', b"[] []", b"[1e999]", b'["\t"]'),
        *(b'[{"a":1}', b'[{"a":1},]', b'[{"a":1}]]', b'[{"a":1}][{"a":2}]', b'[{"a":1}] x'),
        *(
            b'[{"a":1} {"a":2}]',
            b'[{"a":1}],[{"a":2}]',
            b'{"tables":[{"columns":[],"rows":[[],]}]}',
        ),
    ],
)
def test_text_that_is_not_json_is_refused(scratch: Path, body: bytes) -> None:
    """Anything but one JSON document is an error, with NaN and infinities."""
    assert "is not JSON" in refused_body(scratch, body)


@pytest.mark.parametrize("objects", [True, False])
@pytest.mark.parametrize("cell", ["NaN", "Infinity", "-Infinity", "undefined", "1e999", "01"])
def test_a_cell_that_is_not_json_is_refused(scratch: Path, cell: str, *, objects: bool) -> None:
    """One invalid cell among thousands of rows is found."""
    rows = [row("a", "b" * 50, n) for n in range(2_000)]
    rows[1_777][2] = "HERE"
    document: object = as_objects(rows) if objects else response(COLUMNS, rows)
    body = json.dumps(document).replace('"HERE"', cell).encode()
    assert "is not JSON" in refused_body(scratch, body)


@pytest.mark.parametrize("cut", range(1, 40))
def test_a_body_cut_anywhere_is_refused(scratch: Path, cut: int) -> None:
    """A truncated body is an error, and never a part of its rows."""
    for document in (response(COLUMNS, TWO), as_objects(TWO)):
        body = json.dumps(document).encode()
        assert "is not JSON" in refused_body(scratch, body[: len(body) * cut // 40])


@pytest.mark.parametrize("objects", [True, False])
def test_a_large_body_cut_between_two_rows_is_refused(scratch: Path, *, objects: bool) -> None:
    """A large body truncated between two rows is an error, not a shorter table."""
    rows = [row("a", "b" * 50, n) for n in range(4_000)]
    body = json.dumps(as_objects(rows) if objects else response(COLUMNS, rows)).encode()
    seam = b"}, {" if objects else b"], ["
    for part in (4, 2):
        end = body.rindex(seam, 0, len(body) // part) + 1
        for ending in (b"", b",", b"]", b"}", b"]}"):
            if (objects, ending) != (True, b"]"):  # that is a whole, shorter table
                assert "is not JSON" in refused_body(scratch, body[:end] + ending)


@pytest.mark.parametrize("document", [None, True, 1, "text", 1.5])
def test_a_scalar_document_is_refused(scratch: Path, document: object) -> None:
    """JSON that is neither an object nor an array is refused."""
    assert "neither an API response nor an array" in refused(scratch, document)


@pytest.mark.parametrize("document", [{}, {"tables": []}, {"tables": None}, {"tables": {}}])
def test_a_response_without_tables_is_refused(scratch: Path, document: object) -> None:
    """An object without tables is refused."""
    assert "has no table" in refused(scratch, document)


@pytest.mark.parametrize("names", [["One", "Two"], ["PrimaryResult", "PrimaryResult"]])
def test_several_tables_without_a_single_primary_result_are_refused(
    scratch: Path, names: list[str]
) -> None:
    """Several tables are refused unless exactly one is named PrimaryResult."""
    tables = [response(COLUMNS, TWO)["tables"][0] | {"name": name} for name in names]
    assert "PrimaryResult" in refused(scratch, {"tables": tables})


@pytest.mark.parametrize(
    "table",
    [
        *(None, 1, "x", [], {}, {"rows": []}, {"columns": []}, {"columns": None, "rows": []}),
        *({"columns": [{}], "rows": []}, {"columns": ["Name"], "rows": []}, {"rows": [[]]}),
    ],
)
def test_a_table_without_columns_or_rows_is_refused(scratch: Path, table: object) -> None:
    """A table of another shape is an error, not an empty table."""
    refused(scratch, {"tables": [table]})


@pytest.mark.parametrize("rows", [None, {}, "rows", 3])
def test_rows_that_are_no_array_are_refused(scratch: Path, rows: Any) -> None:
    """Rows must be an array."""
    assert "rows" in refused(scratch, response(COLUMNS, rows))


@pytest.mark.parametrize("tables", [[], response(COLUMNS, TWO)["tables"]])
@pytest.mark.parametrize("code", ["PartialError", "BadArgumentError"])
@pytest.mark.parametrize("last", [True, False])
def test_the_response_of_a_failed_query_is_refused(
    scratch: Path, code: str, tables: list[object], *, last: bool
) -> None:
    """A response with an error is refused, wherever the error stands."""
    error = {"code": code, "message": "cut at 64 MB\n", "details": [{"rows": [[]]}]}
    parts = {"tables": tables, "error": error} if last else {"error": error, "tables": tables}
    message = refused(scratch, parts)
    assert "failed or returned only some of its rows" in message
    assert code in message


def test_a_null_error_is_ignored(scratch: Path) -> None:
    """A response with a null error is valid."""
    assert len(read(scratch, response(COLUMNS, TWO) | {"error": None})) == 2


@pytest.mark.parametrize("many", [2, 3_000])
@pytest.mark.parametrize("values", [[], [TEN], row()[:-1], [*row(), "more"]], ids=len)
def test_a_row_that_does_not_fit_the_columns_is_refused(
    scratch: Path, values: list[str], many: int
) -> None:
    """The error gives the number of a row that is shorter or longer than the columns."""
    message = refused(scratch, response(COLUMNS, [*[row()] * many, values, [1], row()]))
    assert f"row {many + 1} has {len(values)} values for {len(COLUMNS)} columns" in message


@pytest.mark.parametrize("odd", [None, "abcdef", 3, dict.fromkeys(COLUMNS, TEN)])
def test_a_row_that_is_no_array_is_refused(scratch: Path, odd: object) -> None:
    """A response's row must be an array, even if something else has the right length."""
    assert "row 2 " in refused(scratch, response(COLUMNS, [row(), odd]))
    assert "row 1 " in refused(scratch, response(COLUMNS, [odd, row()]))


@pytest.mark.parametrize("odd", [None, "abc", 3, row()])
def test_a_row_that_is_no_object_is_refused(scratch: Path, odd: object) -> None:
    """In an array of rows every row must be an object."""
    assert "row 3 is not an object" in refused(scratch, [*as_objects(TWO), odd])
    assert "row 1 is not an object" in refused(scratch, [odd, *as_objects(TWO)])


@pytest.mark.parametrize("gone", REQUIRED)
@pytest.mark.parametrize("rows", [0, 1, 3_000])
def test_a_missing_required_column_is_refused(scratch: Path, gone: str, rows: int) -> None:
    """Without a required column the table is refused, even without rows."""
    place = COLUMNS.index(gone)
    short = [[*row()[:place], *row()[place + 1 :]]] * rows
    names = [name for name in COLUMNS if name != gone]
    assert gone in refused(scratch, response(names, short))
    if rows:
        assert gone in refused(scratch, [dict(zip(names, each, strict=True)) for each in short])


@pytest.mark.parametrize(
    "cell",
    [
        *(None, "", "soon", 0, 20260314, {}, [], {"a": 1}, True, "14/03/2026"),
        *("2026-03-14T10:00:00.12345678Z", "2026-03-14T10:00:00.123456\u0667Z"),
    ],
)
@pytest.mark.parametrize("objects", [True, False])
@pytest.mark.parametrize("many", [0, 2, 3_000])
def test_an_unreadable_time_is_refused(
    scratch: Path, cell: object, many: int, *, objects: bool
) -> None:
    """The error gives the number of a row without a readable TimeGenerated."""
    rows = [*[row()] * many, [cell, *row()[1:]], row()]
    message = refused(scratch, as_objects(rows) if objects else response(COLUMNS, rows))
    assert f"row {many + 1}: TimeGenerated is unreadable" in message


@pytest.mark.parametrize("depth", [2_000, 200_000])
@pytest.mark.parametrize(("left", "right"), [("[", "]"), ('{"a":', "}")])
def test_deep_nesting_is_refused(scratch: Path, left: str, right: str, depth: int) -> None:
    """A document that is nested thousands deep is an error and no crash, whole or truncated."""
    whole = left * depth + "1" + right * depth
    cell = f'[{{"TimeGenerated":"{TEN}","Caller":{whole}}}]'
    for text in (whole, left * depth, cell):
        message = refused_body(scratch, text.encode())
        assert "nested too deeply" in message or "is not JSON" in message


@given(
    st.recursive(
        st.one_of(st.none(), st.booleans(), st.integers(-9, 9), st.text(max_size=3)),
        lambda inner: st.one_of(
            st.lists(inner, max_size=3),
            st.dictionaries(
                st.sampled_from(
                    ("tables", "rows", "columns", "name", "error", "IPOrRange", "PrimaryResult")
                ),
                inner,
                max_size=4,
            ),
        ),
        max_leaves=12,
    )
)
def test_any_document_is_a_table_or_a_clear_error(
    tmp_path_factory: pytest.TempPathFactory, document: object
) -> None:
    """Any JSON document gives text cells or one clear error that names the file."""
    folder = tmp_path_factory.getbasetemp()
    (folder / f"{ALLOWLIST}.json").write_bytes(orjson.dumps(document))
    try:
        source = RecordedSource(folder)
    except SourceError as error:
        if f"{ALLOWLIST}.json: " not in str(error):
            raise
    else:
        entries = source.read(Window(AT - DAY, AT, Mode.SCHEDULED), AT).allowlist
        assert all(isinstance(entry, str) for entry in entries)
