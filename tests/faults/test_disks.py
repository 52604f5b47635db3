"""What disks do, tried on the disk itself and on the whole product. `make faults` has the rest."""

from __future__ import annotations

import os
from collections.abc import Iterator
from pathlib import Path

import nats
import pytest

from tests import servers
from tests.faults import disks
from tests.faults.cell import run_cell
from tests.faults.disk_stack import DiskStack, on_disks
from tests.faults.disks import Disk
from tests.faults.faults import Cell
from tests.faults.proxies import Proxies

ACKNOWLEDGED = 100


@pytest.fixture(scope="module", autouse=True)
def _possible() -> None:
    if why := disks.missing():
        pytest.skip(why)


@pytest.fixture
def disk(tmp_path: Path) -> Iterator[Disk]:
    """Yield a small disk."""
    with Disk(tmp_path / "disk", mib=16) as made:
        yield made


@pytest.fixture
def stack(tmp_path: Path) -> Iterator[DiskStack]:
    """Yield a stack on disks."""
    with Proxies() as proxies, on_disks(tmp_path, proxies) as running:
        yield running


def test_a_power_cut_takes_what_was_not_synced(disk: Disk) -> None:
    """What was synced is there afterwards; what was only written is not."""
    _write(disk.folder / "synced", sync=True)
    _write(disk.folder / "written", sync=False)
    disk.cut()
    disk.lose_power()
    assert (disk.folder / "synced").read_bytes() == b"kept"
    assert not (disk.folder / "written").exists()


def test_a_full_disk_takes_nothing_until_it_is_freed(disk: Disk) -> None:
    """Not a byte fits into it, and afterwards it is as before."""
    disk.fill()
    with pytest.raises(OSError, match="No space left"):
        _write(disk.folder / "more", sync=True)
    disk.free()
    _write(disk.folder / "more", sync=True)


@pytest.mark.parametrize(("sync_interval", "kept"), [("always", True), ("2m", False)])
async def test_only_a_synced_acknowledgement_survives(
    disk: Disk, tmp_path: Path, sync_interval: str, kept: bool
) -> None:
    """As the product sets NATS up a power cut takes nothing acknowledged; by default it does."""
    nats_server, url = servers.packaged_nats(disk.folder, tmp_path / "nats.log")
    config = disk.folder / "nats-server.conf"
    text = config.read_text().replace('"always"', f'"{sync_interval}"')
    config.write_text(text)
    nats_server.start()
    try:
        async with await nats.connect(url) as client:
            await client.jetstream().add_stream(name="S", subjects=["s"])
            for _ in range(ACKNOWLEDGED):
                await client.jetstream().publish("s", b"kept")
            nats_server.pause()
            disk.cut()
            nats_server.kill()
        disk.lose_power()
        config.write_text(text)
        nats_server.start()
        async with await nats.connect(url) as client:
            streams = await client.jetstream().streams_info()
        found = sum(stream.state.messages for stream in streams)
        assert (found == ACKNOWLEDGED) is kept
    finally:
        nats_server.stop()


@pytest.mark.timeout(240)
async def test_the_power_fails_and_every_promise_holds(stack: DiskStack) -> None:
    """MongoDB and all services lose power while turns stream; nothing that was told is lost."""
    line = await run_cell(stack, Cell("mongod", "power-cut"), seed=0)
    assert line["violations"] == []
    assert line["recovery_s"], "nobody was served again"


def _write(path: Path, *, sync: bool) -> None:
    with path.open("wb", buffering=0) as file:
        file.write(b"kept")
        if sync:
            os.fsync(file.fileno())
            descriptor = os.open(path.parent, os.O_RDONLY)
            os.fsync(descriptor)
            os.close(descriptor)
