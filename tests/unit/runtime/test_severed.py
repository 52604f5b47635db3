"""When the leader of a stream has lost its replicas, by what it says of them."""

from __future__ import annotations

import pytest
from nats.js.api import ClusterInfo, PeerInfo

from abbotik_runtime.provision import is_severed

HEARD, SILENT = 900_000_000, 3_100_000_000


@pytest.mark.parametrize(
    ("replicas", "severed"),
    [
        ([], False),
        ([HEARD, HEARD], False),
        ([HEARD, SILENT], False),
        ([SILENT, SILENT], True),
        ([HEARD, HEARD, SILENT, SILENT], False),
        ([HEARD, SILENT, SILENT, SILENT], True),
        ([None, None], False),
    ],
)
def test_a_leader_without_a_majority_is_severed(replicas: list[int | None], severed: bool) -> None:
    """It counts itself; a replica is silent after three seconds."""
    peers = [PeerInfo(active=active) for active in replicas]
    assert is_severed(ClusterInfo(replicas=peers)) is severed


def test_a_stream_of_a_single_server_is_not_severed() -> None:
    """It has no cluster, or one without replicas."""
    assert not is_severed(None)
    assert not is_severed(ClusterInfo(replicas=None))
