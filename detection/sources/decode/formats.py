"""Opens a file of logs in any format that can be read, and recognises the format by its bytes."""

import codecs
import gzip
import re
import shutil
import zlib
from collections.abc import Callable
from contextlib import ExitStack
from functools import partial
from pathlib import Path
from tempfile import SpooledTemporaryFile
from typing import BinaryIO, Final, TypeVar, cast

import orjson

from detection.errors import SourceError
from detection.sources.decode.csv_rows import csv_rows, delimiter_of
from detection.sources.decode.export_hints import hint_from_bytes, hint_from_text
from detection.sources.decode.json_document import NotJson
from detection.sources.decode.json_lines import line_rows
from detection.sources.decode.json_shapes import rows_of_shape
from detection.sources.decode.json_stream import BYTE_ORDER_MARK
from detection.sources.decode.response import read_json
from detection.sources.decode.row_set import RowSet

Result = TypeVar("Result")

HEAD_BYTES: Final = 65_536  # of a file, enough to recognise its format
_LONGEST_LINE: Final = 16_000_000  # bytes of a first line that is looked at
_IN_MEMORY: Final = 32_000_000  # bytes of an unpacked file; a larger one goes to a temporary file
_KUSTO_FRAMES: Final = re.compile(rb'\[\s*\{\s*"FrameType"')
_GZIP: Final = b"\x1f\x8b"
_UTF_32: Final = (codecs.BOM_UTF32_LE, codecs.BOM_UTF32_BE)
_UTF_16: Final = (codecs.BOM_UTF16_LE, codecs.BOM_UTF16_BE)


def read_rows(path: Path, use: Callable[[RowSet], Result]) -> Result:
    """Return the result of `use` for the rows of a file.

    `use` may be called again from the beginning, as read_json() does. Raises SourceError, which
    names the file, if it cannot be read.
    """
    where = str(path)
    if path.exists() and not path.is_file():  # reading a pipe would never end
        raise SourceError(f"{where}: cannot be read: it is not a file")
    try:
        with ExitStack() as stack:
            stream, packing = _unpacked(stack.enter_context(path.open("rb")), where, stack)

            def use_form(rows: RowSet) -> Result:
                return use(rows._replace(form=", ".join((rows.form, *packing))))

            return _read(stream, path, use_form)
    except OSError as error:
        raise SourceError(f"{where}: cannot be read: {error.strerror or error}") from error


def _read(stream: BinaryIO, path: Path, use: Callable[[RowSet], Result]) -> Result:
    where = str(path)
    head = stream.read(HEAD_BYTES)
    stream.seek(0)
    if hint := hint_from_bytes(head):
        raise SourceError(f"{where}: {hint}")
    text = head.removeprefix(BYTE_ORDER_MARK).lstrip()
    if not text.startswith((b"{", b"[")):
        first = text.splitlines()[0].decode("utf-8", "replace")
        is_named_csv = {".csv", ".tsv"} & {suffix.lower() for suffix in path.suffixes}
        if delimiter := delimiter_of(first) or ("," if is_named_csv else ""):
            return use(csv_rows(stream, where, delimiter))
    elif _has_lines(stream):
        return use(line_rows(stream, where))
    try:
        shape = partial(rows_of_shape, where=where)
        return read_json(stream, where, use, shape, in_pieces=not _KUSTO_FRAMES.match(text))
    except NotJson as error:
        raise SourceError(f"{error}; {hint_from_text(head)}") from error


def _has_lines(stream: BinaryIO) -> bool:
    """Return True if the first line is an object and more lines follow, and rewind the stream."""
    first = stream.readline(_LONGEST_LINE).removeprefix(BYTE_ORDER_MARK)
    while first and not first.strip():
        first = stream.readline(_LONGEST_LINE)
    following = stream.read(HEAD_BYTES)
    stream.seek(0)
    if not first.lstrip().startswith(b"{") or not following.strip():
        return False
    try:
        return isinstance(orjson.loads(first), dict)
    except ValueError:
        return False


def _unpacked(stream: BinaryIO, where: str, stack: ExitStack) -> tuple[BinaryIO, tuple[str, ...]]:
    """Return a seekable stream of the bytes as UTF-8, and the packings that were undone."""
    mark = stream.read(4)
    stream.seek(0)
    if mark.startswith(_UTF_32):
        raise SourceError(f"{where}: is UTF-32: save it as UTF-8")
    if not mark.startswith((_GZIP, *_UTF_16)):
        return stream, ()
    spool = cast("BinaryIO", SpooledTemporaryFile(_IN_MEMORY))  # noqa: SIM115 - closed by the stack
    stack.enter_context(spool)
    if mark.startswith(_UTF_16):
        try:
            shutil.copyfileobj(codecs.EncodedFile(stream, "utf-8", "utf-16"), spool)
        except UnicodeError as error:
            raise SourceError(f"{where}: is damaged UTF-16: {error}") from None
        spool.seek(0)
        return spool, ("UTF-16",)
    try:
        shutil.copyfileobj(gzip.GzipFile(fileobj=stream), spool)
    except (EOFError, gzip.BadGzipFile, zlib.error) as error:
        raise SourceError(f"{where}: is a damaged or cut gzip file: {error}") from None
    spool.seek(0)
    inner, packing = _unpacked(spool, where, stack)
    return inner, ("gzip", *packing)
