"""The engines that the benchmark compares with the product give the same findings."""

from importlib.util import find_spec
from pathlib import Path

import pytest

from bench import measure
from bench.cases import PEER_CASES, Case
from bench.generate import write_tables
from bench.peers import PEERS
from tests.support.effort import IN_CI

SMALL = Case("small", rows=600, identities=40, hot_rows=200, hot_groups=9)


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Return the recorded folder of a small case."""
    folder = tmp_path_factory.mktemp("small")
    write_tables(SMALL, folder)
    return folder


@pytest.mark.parametrize("peer", PEERS)
def test_a_peer_finds_what_the_product_finds(peer: str, folder: Path) -> None:
    """Each engine gives every finding of generated logs, equal in every column."""
    if not find_spec(peer) and not IN_CI:
        pytest.skip(f"{peer} is not installed: `make bench` installs it")
    found = measure.findings(folder)
    theirs, _ = measure.findings_of_peer(PEERS[peer], folder)
    assert found.number > 20
    assert theirs == found


def test_each_peer_is_measured_on_some_case() -> None:
    """Every peer is measured on at least one case."""
    assert PEER_CASES.keys() == PEERS.keys()
