"""The state in Azure Blob Storage: one compressed blob per workspace.

The tag of a version is its ETag. The first version is written only if no blob exists, every later
one only over the ETag that was read: of two overlapping runs, one wins. No lease is taken, so a
killed run leaves none behind.
"""

import re
import uuid
from collections.abc import Sequence
from typing import Any, Final

from azure.core import MatchConditions
from azure.core.exceptions import AzureError, ClientAuthenticationError
from azure.storage.blob import ContainerClient, ContentSettings, StorageErrorCode

from detection.credential_errors import explain_token_failure
from detection.errors import StateConflict, StateError
from detection.printable import one_line
from detection.state import State, Tag
from detection.state.codec import compress, decompress

# Options of the ContainerClient. By default the SDK waits for minutes, within and between four
# attempts, which is too long for a run that must end. With these options it gives up after some
# 20 seconds if storage is unreachable, and after two minutes if storage does not answer.
CLIENT_OPTIONS: dict[str, Any] = {
    "connection_timeout": 10,  # seconds
    "read_timeout": 30,  # seconds
    "retry_total": 3,
    "initial_backoff": 1,  # waits of about 3, 5 and 9 seconds
    "increment_base": 2,
    "random_jitter_range": 1,
}

_WRITE_ID = "writeid"  # metadata: identifies the call of save() that wrote this version
# Error codes if a blob exists unexpectedly, or has another ETag than expected.
_CONFLICTS = {StorageErrorCode.BLOB_ALREADY_EXISTS, StorageErrorCode.CONDITION_NOT_MET}
# Error codes of refused access, whose status may be neither 401 nor 403.
_ACCESS_REFUSED = {
    StorageErrorCode.AUTHENTICATION_FAILED,
    StorageErrorCode.INVALID_AUTHENTICATION_INFO,
    StorageErrorCode.NO_AUTHENTICATION_INFORMATION,
}


class BlobStore:
    """A StateStore whose tag is the ETag of the version it read."""

    remembers: Final = True

    def __init__(self, *, container: ContainerClient, workspace_id: str) -> None:
        """Use the blob `<workspace_id>.json.gz`; create `container` with CLIENT_OPTIONS."""
        self._container = container
        self._blob = container.get_blob_client(_blob_name(workspace_id))
        self._emulated = self._blob.url.startswith("http:")  # storage accounts require https
        self._url = self._blob.url.partition("?")[0]  # the query part may hold a signature

    def load(self) -> tuple[State, Tag]:
        """Return the state; a new one with the tag "" if there is no blob.

        Raises StateError if the container is missing, if the service refuses or does not answer, or
        if the blob is damaged or of another release; StateConflict if the blob changed while it was
        read.
        """
        try:
            stream = self._blob.download_blob()
            compressed = stream.readall()
        except AzureError as error:
            if _error_code(error) == StorageErrorCode.BLOB_NOT_FOUND:
                return State(), ""
            if _error_code(error) == StorageErrorCode.CONDITION_NOT_MET:
                raise StateConflict(
                    f"another run wrote {self._url} while this run read it: nothing was delivered; "
                    "run again"
                ) from error
            raise self._failure("read", error) from error
        return decompress(compressed, self._url), str(stream.properties.etag)

    def save(self, state: State, tag: Tag) -> Tag:
        """Write `state` over version `tag`, or as the first if `tag` is ""; return the new tag.

        Raises StateConflict if another version is stored, StateError if the service refuses or does
        not answer. If it did not answer, the state may be stored nevertheless: the next run then
        loads it.
        """
        write_id = uuid.uuid4().hex
        condition: dict[str, Any] = {"match_condition": MatchConditions.IfMissing}
        if tag:
            condition = {"match_condition": MatchConditions.IfNotModified, "etag": tag}
        try:
            written = self._blob.upload_blob(
                compress(state),
                overwrite=bool(tag),
                metadata={_WRITE_ID: write_id},
                # Not as content encoding: clients would decompress it while they read.
                content_settings=ContentSettings(content_type="application/gzip"),
                **condition,
            )
        except AzureError as error:
            if _error_code(error) not in _CONFLICTS:
                raise self._failure("written", error) from error
            return self._tag_of_own_write(write_id)
        return str(written["etag"])

    def probe(self) -> None:
        """Read the state; write and remove a second blob. Raises StateError if any of it fails."""
        self.load()
        probe_blob = self._container.get_blob_client(f"probe-{uuid.uuid4().hex}")
        try:
            probe_blob.upload_blob(b"")
            probe_blob.delete_blob()
        except AzureError as error:
            raise self._failure("written", error) from error

    def _tag_of_own_write(self, write_id: str) -> Tag:
        """Return the tag of the conflicting version if this call of save() wrote it itself.

        The answer to a write can be lost. The client then repeats the write, and the service
        refuses it because the first one succeeded. The write id tells this case from another run's
        write. Comparing the content would not: two runs over the same logs may write equal bytes,
        and both would then deliver.
        """
        try:
            found = self._blob.get_blob_properties()
        except AzureError as error:
            if _error_code(error) == StorageErrorCode.BLOB_NOT_FOUND:
                raise StateConflict(
                    f"{self._url} was removed during this run: nothing more was delivered; run "
                    "again"
                ) from error
            raise self._failure("read", error) from error
        if found.metadata.get(_WRITE_ID) != write_id:
            raise StateConflict(
                f"another run wrote {self._url} first: this run delivered nothing more"
            )
        return str(found.etag)

    def _failure(self, action: str, error: AzureError) -> StateError:
        """Return a one-line error: why the blob could not be read or written, and the remedy."""
        failed = f"{self._url} cannot be {action}"
        status = getattr(error, "status_code", None)
        if isinstance(error, ClientAuthenticationError) and status is None:
            return StateError(f"{failed}: {explain_token_failure(error)}")
        if status is None:
            return StateError(
                f"{failed}: no answer ({type(error).__name__}: {one_line(str(error))}); check the "
                "storage account's name, and that its network rules allow this app; the next run "
                "tries again"
            )
        code = _error_code(error)
        answer = f"{status} {code or one_line(str(getattr(error, 'reason', '')))}"
        if code == StorageErrorCode.CONTAINER_NOT_FOUND:
            return StateError(
                f"{failed}: the container {self._blob.container_name} does not exist; create it, "
                "or correct STATE_CONTAINER"
            )
        if status in {401, 403} or code in _ACCESS_REFUSED:
            return StateError(
                f"{failed}: access was refused ({answer}); give this app's identity the role "
                "Storage Blob Data Contributor or Owner on the storage account (a new assignment "
                "takes up to 30 minutes), and check that the account's network rules allow this app"
            )
        return StateError(
            f"{failed}: the service answered {answer}{self._explain(status, code, error)}"
        )

    def _explain(self, status: int, code: str, error: AzureError) -> str:
        """Return the service's explanation and the remedy."""
        if status in {408, 429} or status >= 500:
            return "; the next run tries again"
        if not code:
            return (
                ", but the sender was not Azure Storage; look for a proxy or gateway in between, "
                "and check STATE_ACCOUNT_URL"
            )
        if code == StorageErrorCode.INVALID_HEADER_VALUE and self._emulated:
            return (
                ", as Azurite does for an API version that it does not support; start it with "
                "--skipApiVersionCheck, or with `make start ARGS=--azurite`"
            )
        return f" ({_error_message(error)}); check STATE_ACCOUNT_URL and STATE_CONTAINER"


def least_recently_written(container: ContainerClient, workspace_ids: Sequence[str]) -> list[str]:
    """Return the workspaces by the time of their last written state; those without one come first.

    Every run of a workspace writes its state, so the first in this order has waited longest. If the
    states cannot be listed, the order stays as given: each workspace then reports its own error.
    """
    try:
        written = {blob.name: blob.last_modified.timestamp() for blob in container.list_blobs()}
    except AzureError:
        return list(workspace_ids)
    return sorted(workspace_ids, key=lambda name: written.get(_blob_name(name), 0.0))


def _blob_name(workspace_id: str) -> str:
    return f"{workspace_id}.json.gz"


def _error_code(error: AzureError) -> str:
    """Return the service's error code; the same HTTP status can have several causes."""
    code = getattr(error, "error_code", None)
    return str(getattr(code, "value", code) or "")


def _error_message(error: AzureError) -> str:
    """Return the service's message without the request id and time that follow it."""
    return one_line(re.split(r"\n(RequestId|Time|ErrorCode):", str(error.message))[0])
