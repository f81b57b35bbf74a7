"""State in Azure Blob Storage, one blob a workspace: the written form, compressed.

A version's tag is its ETag. The first version is written only where no blob is, every other only
over the ETag that was read, so that of two overlapping runs one wins. No lease is taken, so none
can be left behind.
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

# For the ContainerClient that a BlobStore is given. The SDK's own patience, minutes of waiting
# between and within four attempts, is too much for a run that must end; with these options it knows
# after some 20 seconds that storage is away, after two minutes that it is silent.
CLIENT_OPTIONS: dict[str, Any] = {
    "connection_timeout": 10,  # seconds, as the next
    "read_timeout": 30,
    "retry_total": 3,
    "initial_backoff": 1,  # the waits are about 3, 5 and 9 seconds
    "increment_base": 2,
    "random_jitter_range": 1,
}

_WRITE_ID = "writeid"  # metadata: which call of save() wrote this version
# A version is there though none should be, or not the one that should.
_TAKEN = {StorageErrorCode.BLOB_ALREADY_EXISTS, StorageErrorCode.CONDITION_NOT_MET}
# Refusals that may have another status than 401 and 403.
_NOT_LET_IN = {
    StorageErrorCode.AUTHENTICATION_FAILED,
    StorageErrorCode.INVALID_AUTHENTICATION_INFO,
    StorageErrorCode.NO_AUTHENTICATION_INFORMATION,
}


class BlobStore:
    """A StateStore whose tag is the ETag of the version it read."""

    remembers: Final = True

    def __init__(self, *, container: ContainerClient, workspace_id: str) -> None:
        """Use the blob `<workspace_id>.json.gz`; make `container` with CLIENT_OPTIONS."""
        self._container = container
        self._blob = container.get_blob_client(_name_of(workspace_id))
        self._emulated = self._blob.url.startswith("http:")  # as no storage account is reached
        self._where = self._blob.url.partition("?")[0]  # what follows may be a signature

    def load(self) -> tuple[State, Tag]:
        """Return the state, or a new one with the tag "" if there is no blob.

        Raises StateError if the container is missing, the service refuses or does not answer, or
        what is there is damaged or of a newer version; StateConflict if it changed while read.
        """
        try:
            stream = self._blob.download_blob()
            packed = stream.readall()
        except AzureError as error:
            if _code(error) == StorageErrorCode.BLOB_NOT_FOUND:
                return State(), ""
            if _code(error) == StorageErrorCode.CONDITION_NOT_MET:
                raise StateConflict(
                    f"another run wrote {self._where} while this one read it and delivered nothing"
                ) from error
            raise self._failure("read", error) from error
        return decompress(packed, self._where), str(stream.properties.etag)

    def save(self, state: State, tag: Tag) -> Tag:
        """Write `state` over the version `tag`, or as the first if that is ""; return the new tag.

        Raises StateConflict if another version is there, StateError if the service refuses or does
        not answer. After the latter the state may be there all the same: the next run will see.
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
                # Not as content encoding: clients would unpack it, some of them a part at a time.
                content_settings=ContentSettings(content_type="application/gzip"),
                **condition,
            )
        except AzureError as error:
            if _code(error) not in _TAKEN:
                raise self._failure("written", error) from error
            return self._tag_if_ours(write_id)
        return str(written["etag"])

    def probe(self) -> None:
        """Read the state, and write and remove a blob beside it; raises StateError if any fails."""
        self.load()
        beside = self._container.get_blob_client(f"probe-{uuid.uuid4().hex}")
        try:
            beside.upload_blob(b"")
            beside.delete_blob()
        except AzureError as error:
            raise self._failure("written", error) from error

    def _tag_if_ours(self, write_id: str) -> Tag:
        """Return the tag of the version that was in the way, if this very call wrote it.

        An answer can be lost after the service has written: the client then sends the same write
        again and is told that it came too late. The id tells this apart from a rival's write; the
        content could not, since two runs over the same logs may write the same bytes, and both
        would take themselves for the winner and deliver.
        """
        try:
            found = self._blob.get_blob_properties()
        except AzureError as error:
            if _code(error) == StorageErrorCode.BLOB_NOT_FOUND:
                raise StateConflict(
                    f"{self._where} was removed while this run worked; it delivered nothing more"
                ) from error
            raise self._failure("read", error) from error
        if found.metadata.get(_WRITE_ID) != write_id:
            raise StateConflict(
                f"another run wrote {self._where} first; this one delivered nothing more"
            )
        return str(found.etag)

    def _failure(self, action: str, error: AzureError) -> StateError:
        """Say in one line why the blob could not be read or written, and what helps."""
        failed = f"{self._where} cannot be {action}"
        status = getattr(error, "status_code", None)
        if isinstance(error, ClientAuthenticationError) and status is None:
            return StateError(f"{failed}: {explain_token_failure(error)}")
        if status is None:
            return StateError(
                f"{failed}: no answer ({type(error).__name__}: {one_line(str(error))}); check the "
                "storage account's name and that its network lets this app in; the next run tries "
                "again"
            )
        code = _code(error)
        told = f"{status} {code or one_line(str(getattr(error, 'reason', '')))}"
        if code == StorageErrorCode.CONTAINER_NOT_FOUND:
            return StateError(
                f"{failed}: there is no container {self._blob.container_name}; create it, or "
                "correct STATE_CONTAINER"
            )
        if status in {401, 403} or code in _NOT_LET_IN:
            return StateError(
                f"{failed}: access was refused ({told}); give this app's identity the role Storage "
                "Blob Data Contributor or Owner on the storage account (a new assignment takes up "
                "to 30 minutes), and check that the account's network rules let it in"
            )
        return StateError(f"{failed}: the service answered {told}{self._rest(status, code, error)}")

    def _rest(self, status: int, code: str, error: AzureError) -> str:
        """Say in the service's words what it meant, and what helps."""
        if status in {408, 429} or status >= 500:
            return "; the next run tries again"
        if not code:
            return (
                ", which was no answer of Azure Storage; look for a proxy or gateway on the way, "
                "and check STATE_ACCOUNT_URL"
            )
        if code == StorageErrorCode.INVALID_HEADER_VALUE and self._emulated:
            return (
                ", as Azurite does for a version that it does not know; start it with "
                "--skipApiVersionCheck, or by `make start ARGS=--azurite`"
            )
        return f" ({_message(error)}); see to that, or check STATE_ACCOUNT_URL and STATE_CONTAINER"


def least_recently_written(container: ContainerClient, workspace_ids: Sequence[str]) -> list[str]:
    """Return the workspaces in the order in which their states were written, never first.

    Every turn of a workspace writes its state, so the first has waited longest for the next one.
    Where the states cannot be listed the order stays: each workspace will say what is wrong.
    """
    try:
        written = {blob.name: blob.last_modified.timestamp() for blob in container.list_blobs()}
    except AzureError:
        return list(workspace_ids)
    return sorted(workspace_ids, key=lambda name: written.get(_name_of(name), 0.0))


def _name_of(workspace_id: str) -> str:
    return f"{workspace_id}.json.gz"


def _code(error: AzureError) -> str:
    """Return the service's word for what is wrong; a status alone can mean several things."""
    code = getattr(error, "error_code", None)
    return str(getattr(code, "value", code) or "")


def _message(error: AzureError) -> str:
    """Return the service's sentence; ids and the time of the request follow it."""
    return one_line(re.split(r"\n(RequestId|Time|ErrorCode):", str(error.message))[0])
