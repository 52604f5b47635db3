"""What every session must do: the fake on its manual clock and the one in MongoDB alike."""

from __future__ import annotations

from abbotik_room_worker.ports import DeadSession
from tests.contract.conftest import Stores, Worker
from tests.eventually import eventually


async def _dead_seen_by(stores: Stores, worker: Worker) -> list[DeadSession]:
    """Renew the worker's session once more and return whom it takes for dead."""
    stores.a_while()
    await worker.sessions.renew()
    return await worker.port.dead()


async def test_session_lives_from_its_first_renewal(stores: Stores) -> None:
    """Before it nobody may hold a room."""
    worker = stores.session("w1")
    assert not worker.port.live
    await worker.sessions.renew()
    assert worker.port.live


async def test_session_that_is_not_renewed_ends_by_itself(stores: Stores) -> None:
    """Its own clock says so, without asking anybody."""
    worker = stores.session("w1")
    await worker.sessions.renew()
    lapses = worker.port.lapses
    await worker.sessions.renew()
    assert worker.port.lapses == lapses

    def expired() -> bool:
        stores.a_while()
        return not worker.port.live

    await eventually(expired)
    assert await worker.port.dead() == []
    await worker.sessions.renew()
    assert worker.port.live
    assert worker.port.lapses == lapses + 1


async def test_silent_session_is_found_dead_with_what_it_owed(stores: Stores) -> None:
    """After an expiry, by whoever renewed its own without a gap; it says how far it had come."""
    silent, witness = stores.session("w1"), stores.session("w2")
    for counter in (1, 2, 3):
        silent.progress.opened(counter)
    silent.progress.settled(1)
    await silent.sessions.renew()
    found = await eventually(lambda: _dead_seen_by(stores, witness))
    assert found == [DeadSession("w1", 1)]


async def test_renewed_sessions_are_not_dead(stores: Stores) -> None:
    """Two that renew see each other live, longer than an expiry."""
    first, second = stores.session("w1"), stores.session("w2")
    gone = stores.session("w3")
    await gone.sessions.renew()

    async def gone_is_dead() -> list[DeadSession]:
        await second.sessions.renew()
        return await _dead_seen_by(stores, first)

    found = await eventually(gone_is_dead)
    assert [dead.session for dead in found] == ["w3"]
    assert [dead.session for dead in await second.port.dead()] in ([], ["w3"])


async def test_who_was_out_of_touch_declares_nobody_dead(stores: Stores) -> None:
    """A failover must not look like everybody's death: the expiry of own renewals begins anew."""
    silent, witness = stores.session("w1"), stores.session("w2")
    await silent.sessions.renew()
    await eventually(lambda: _dead_seen_by(stores, witness))

    def out_of_touch() -> bool:
        stores.a_while()
        return not witness.port.live

    await eventually(out_of_touch)
    await witness.sessions.renew()
    assert await witness.port.dead() == []
    assert await eventually(lambda: _dead_seen_by(stores, witness)) == [DeadSession("w1", 0)]


async def test_session_that_ends_is_dead_at_once(stores: Stores) -> None:
    """Whoever leaves in order is found without waiting for its expiry."""
    leaving, gone, witness = (stores.session(name) for name in ("w1", "w2", "w3"))
    await gone.sessions.renew()
    await eventually(lambda: _dead_seen_by(stores, witness))
    leaving.progress.opened(1)
    leaving.progress.settled(1)
    await leaving.sessions.renew()
    await leaving.sessions.end()
    found = await eventually(lambda: _dead_seen_by(stores, witness))
    assert DeadSession("w1", 1) in found


async def test_holder_without_a_session_is_dead(stores: Stores) -> None:
    """Of those that hold rooms, whoever has no session any more is found; the living are not."""
    silent, witness = stores.session("w1"), stores.session("w2")
    await silent.sessions.renew()
    await eventually(lambda: _dead_seen_by(stores, witness))
    await witness.port.forget("w1")
    await witness.sessions.renew()
    found = await witness.port.dead(["w1", "w2"])
    assert [dead.session for dead in found] == ["w1"]


async def test_session_that_was_renewed_meanwhile_is_not_forgotten(stores: Stores) -> None:
    """Whoever was thought dead and came back before its burial keeps its session."""
    back, witness = stores.session("w1"), stores.session("w2")
    await back.sessions.renew()
    await eventually(lambda: _dead_seen_by(stores, witness))
    await back.sessions.renew()
    await witness.port.forget("w1")
    await witness.sessions.renew()
    assert await witness.port.dead(["w1"]) == []


async def test_forgotten_session_is_not_found_again(stores: Stores) -> None:
    """What was buried stays buried; forgetting twice does no harm."""
    silent, witness = stores.session("w1"), stores.session("w2")
    await silent.sessions.renew()
    await eventually(lambda: _dead_seen_by(stores, witness))
    await witness.port.forget("w1")
    await witness.port.forget("w1")
    assert await witness.port.dead() == []


async def test_session_that_was_buried_too_early_comes_back(stores: Stores) -> None:
    """A paused worker that renews again is there as before; the log says what it lost."""
    paused, witness = stores.session("w1"), stores.session("w2")
    await paused.sessions.renew()
    await eventually(lambda: _dead_seen_by(stores, witness))
    await witness.port.forget("w1")
    await paused.sessions.renew()
    assert paused.port.live
    await witness.sessions.renew()
    assert await witness.port.dead() == []
