"""Details of identities in recorded folders: raw columns, and the table that `record` writes."""

import json
from pathlib import Path

import pytest

from detection.errors import SourceError
from detection.ranking.identity_details import (
    USER_ASSIGNED,
    DetailRow,
    IdentityDetails,
    details_by_identity,
)
from detection.rule.log_rows import is_nil_id
from detection.rule.ticks import HOUR, MINUTE
from detection.sources.identity_columns import DETAILS_TABLE
from detection.sources.recorded.folder import RecordedSource
from detection.sources.recorded.pseudonyms import Pseudonyms
from detection.sources.recorded.recorder import Recorder
from detection.window import Mode, Window
from tests.support import OPERATIONS, SIGN_INS, write_table
from tests.support.details import ASSIGNMENT, HOST, OWN, OWNER, SUBSCRIPTION, TENANT, request_body
from tests.support.strategies import END, START, operation, sign_in, written

WINDOW = Window(START, END, Mode.SCHEDULED)
IDENTITY = "app-identity"
ROLE = "MICROSOFT.AUTHORIZATION/ROLEASSIGNMENTS/WRITE"


def folder_with_columns(folder: Path) -> RecordedSource:
    """Record a sign-in and operations with the optional columns, in text and as objects."""
    claims = {"uti": "t", "xms_mirid": OWN, "xms_az_rid": HOST}
    right = {"evidence": {"role": "Owner", "roleAssignmentScope": SUBSCRIPTION}}
    asked = {"requestbody": request_body(principalId="p", roleDefinitionId=OWNER)}
    assigned = {"OperationNameValue": ROLE, "ResourceId": ASSIGNMENT, "CorrelationId": "c"}
    mine = {"Caller": IDENTITY.upper(), "ResourceGroup": "rg"}
    one, other = {"CallerIpAddress": "192.0.2.1"}, {"CallerIpAddress": "192.0.2.2"}
    rows: list[dict[str, object]] = [
        {**operation(**mine, **one), "Claims": json.dumps(claims)},
        {**operation(**mine, **other), "Claims_d": claims, "Authorization_d": right},
        {**operation(**mine, **assigned, ActivityStatusValue="Start"), "Properties_d": asked},
        dict(operation(**mine, **assigned)),
        dict(operation(**mine, ActivityStatusValue="Failed", OperationNameValue="a/x/action")),
        dict(operation(Caller="nobody", ActivityStatusValue="Failed")),
    ]
    for minute, row in enumerate(rows, 1):
        row["TimeGenerated"] = written(END - 10 * MINUTE + minute * MINUTE)
    write_table(folder, OPERATIONS, rows)
    write_table(folder, SIGN_INS, [{**sign_in(ServicePrincipalId=IDENTITY), "AADTenantId": TENANT}])
    return RecordedSource(folder)


def details(source: RecordedSource, window: Window = WINDOW) -> IdentityDetails:
    """Return the details of the identity."""
    rows = source.identity_details({IDENTITY}, window, END)
    return details_by_identity(rows, ("Success",))[IDENTITY]


def test_optional_columns_are_read_as_text_or_objects(tmp_path: Path) -> None:
    """All details are found, whichever of the columns a row has."""
    found = details(folder_with_columns(tmp_path))
    assert found[:4] == (TENANT, USER_ASSIGNED, OWN, HOST)
    assert found.roles() == [("Owner", SUBSCRIPTION)]
    assert [(each.role, each.principal_id) for each in found.grants] == [("Owner", "p")]
    assert [use.address for use in found.token_uses] == ["192.0.2.1", "192.0.2.2"]
    assert found.failed_operations == 1


def test_details_are_those_of_the_window(tmp_path: Path) -> None:
    """Rows outside the window tell nothing."""
    source = folder_with_columns(tmp_path)
    before = Window(START - HOUR, END - 10 * MINUTE, Mode.SCHEDULED)
    assert details(source, before) == IdentityDetails(tenant_id=TENANT)


def test_a_folder_is_read_again_only_if_details_are_needed(tmp_path: Path) -> None:
    """A file that is gone by then is an error, and so is one that is unreadable by then."""
    source = folder_with_columns(tmp_path)
    (tmp_path / f"{OPERATIONS}.json").unlink()
    with pytest.raises(SourceError, match="cannot be read: No such file"):
        details(source)
    again = folder_with_columns(tmp_path)
    (tmp_path / f"{OPERATIONS}.json").write_text("{", "utf-8")
    with pytest.raises(SourceError, match="not JSON"):
        details(again)


def test_a_recording_of_details_gives_the_same(tmp_path: Path) -> None:
    """The table that `record` writes replaces the optional columns."""
    source = folder_with_columns(tmp_path / "raw")
    rows = source.identity_details({IDENTITY}, WINDOW, END)
    Recorder(tmp_path / "saved").write_rows(DETAILS_TABLE, [(rows, ())])
    write_table(tmp_path / "saved", SIGN_INS, [])
    assert details(RecordedSource(tmp_path / "saved")) == details(source)


def test_pseudonyms_keep_what_details_mean(tmp_path: Path) -> None:
    """Names and ids are replaced alike everywhere; kinds, built-in roles and counts stay."""
    rows = folder_with_columns(tmp_path).identity_details({IDENTITY}, WINDOW, END)
    pseudonyms = Pseudonyms()
    replaced = [DetailRow(*pseudonyms.replace(DETAILS_TABLE, row)) for row in rows]
    text = repr(replaced)
    subscription = SUBSCRIPTION.rpartition("/")[2]
    for name in (IDENTITY, TENANT, subscription, "192.0.2.1", "'p'", "'t'"):
        assert name not in text
    (shown,) = details_by_identity(replaced, ("Success",)).values()
    assert (shown.identity_type, shown.failed_operations) == (USER_ASSIGNED, 1)
    assert [each.role for each in shown.roles_used] == ["Owner"]
    (grant,) = shown.grants
    assert (grant.role, grant.is_privileged) == ("Owner", True)
    assert grant.scope.startswith(shown.roles_used[0].scope)
    assert len({use.token for use in shown.token_uses}) == 1
    assert len({use.address for use in shown.token_uses}) == 2
    assert not is_nil_id(shown.token_uses[0].token)
    custom = DetailRow(1, "i", role="Contoso deployers", principal_type="Contoso")
    assert "ontoso" not in repr(pseudonyms.replace(DETAILS_TABLE, custom))
