"""The introspect authority against an API server in a process of its own."""

from __future__ import annotations

import asyncio
import subprocess
import sys
import time
from collections.abc import AsyncIterator, Iterator
from pathlib import Path

import httpx
import pytest

from abbotik_gateway.adapters import authority_introspect
from abbotik_gateway.adapters.authority_introspect import (
    KNOWN_MS,
    TIMEOUT_S,
    UNKNOWN_MS,
    IntrospectAuthority,
)
from abbotik_gateway.domain.problem import Problem
from tests.fakes.streams import FakeClock

SERVER = Path(__file__).resolve().parents[2] / "fakes" / "api_server.py"


@pytest.fixture(scope="module")
def server_url() -> Iterator[str]:
    """Yield the URL of the API server."""
    with subprocess.Popen([sys.executable, str(SERVER)], stdout=subprocess.PIPE) as server:
        assert server.stdout is not None
        yield f"http://127.0.0.1:{int(server.stdout.readline())}"
        server.kill()


@pytest.fixture
def clock() -> FakeClock:
    """Return a clock that stands at the time."""
    return FakeClock(int(time.time() * 1000))


@pytest.fixture
async def client(server_url: str) -> AsyncIterator[httpx.AsyncClient]:
    """Yield a client as the gateway makes it."""
    async with httpx.AsyncClient(
        base_url=server_url, timeout=TIMEOUT_S, follow_redirects=False, trust_env=False
    ) as made:
        yield made


@pytest.fixture
def authority(client: httpx.AsyncClient, clock: FakeClock) -> IntrospectAuthority:
    """Return an authority that knows nobody yet."""
    return IntrospectAuthority(client, clock)


async def _asked(client: httpx.AsyncClient, token: str) -> int:
    counts: dict[str, int] = (await client.get("/asked")).json()
    return counts.get(token, 0)


async def test_a_good_token_is_its_caller(authority: IntrospectAuthority) -> None:
    """What the server says is who calls; sudo is root."""
    caller = await authority.identify("good-1")
    assert caller is not None
    assert (caller.user_id, caller.tenant, caller.access, caller.is_root) == (
        "u-1",
        "acme",
        "edit",
        False,
    )
    root = await authority.identify("sudo-1")
    assert root is not None
    assert root.is_root


@pytest.mark.parametrize("token", ["nobody", "forbidden-1"])
async def test_an_unknown_token_is_nobodys(authority: IntrospectAuthority, token: str) -> None:
    """401 and 403 mean that this authority does not know it."""
    assert await authority.identify(token) is None


async def test_an_expired_token_is_said_to_be(authority: IntrospectAuthority) -> None:
    """The server's word for it is passed on, also from memory."""
    for _ in range(2):
        with pytest.raises(Problem, match="AUTH_TOKEN_EXPIRED"):
            await authority.identify("expired-1")


@pytest.mark.parametrize(
    "kind",
    ["text", "wrong", "tenant", "huge", "broken", "busy", "gone", "empty", "redirect", "cut"],
)
async def test_an_answer_that_does_not_count_lets_nobody_in(
    authority: IntrospectAuthority, client: httpx.AsyncClient, kind: str
) -> None:
    """503 AUTH_UNAVAILABLE, asked again the next time, redirects never followed."""
    for _ in range(2):
        with pytest.raises(Problem, match="AUTH_UNAVAILABLE") as caught:
            await authority.identify(f"{kind}-1")
        assert caught.value.status == 503
    assert await _asked(client, f"{kind}-1") == 2


@pytest.mark.parametrize("kind", ["hang", "trickle"])
async def test_a_server_that_takes_too_long_is_given_up(
    authority: IntrospectAuthority, kind: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The whole question has one limit, however the answer trickles in."""
    monkeypatch.setattr(authority_introspect, "TIMEOUT_S", 0.4)
    began = time.monotonic()
    with pytest.raises(Problem, match="AUTH_UNAVAILABLE"):
        await authority.identify(f"{kind}-1")
    assert time.monotonic() - began < 1.5


async def test_an_absent_server_is_unavailable(clock: FakeClock) -> None:
    """Nobody listens: 503, not 401."""
    async with httpx.AsyncClient(base_url="http://127.0.0.1:9") as client:
        with pytest.raises(Problem, match="AUTH_UNAVAILABLE"):
            await IntrospectAuthority(client, clock).identify("good-1")


async def test_an_answer_counts_for_five_seconds(
    authority: IntrospectAuthority, client: httpx.AsyncClient, clock: FakeClock
) -> None:
    """Within 5 s nobody asks again, then somebody does."""
    assert KNOWN_MS <= 5000
    for _ in range(3):
        await authority.identify("good-cached")
    assert await _asked(client, "good-cached") == 1
    clock.now += KNOWN_MS - 1
    await authority.identify("good-cached")
    assert await _asked(client, "good-cached") == 1
    clock.now += 1
    await authority.identify("good-cached")
    assert await _asked(client, "good-cached") == 2


async def test_a_no_counts_for_a_moment(
    authority: IntrospectAuthority, client: httpx.AsyncClient, clock: FakeClock
) -> None:
    """A token that was just made works soon, and an unknown one is not asked for each time."""
    for _ in range(3):
        assert await authority.identify("nobody-cached") is None
    assert await _asked(client, "nobody-cached") == 1
    clock.now += UNKNOWN_MS
    await authority.identify("nobody-cached")
    assert await _asked(client, "nobody-cached") == 2


async def test_an_answer_never_outlives_its_token(
    authority: IntrospectAuthority, client: httpx.AsyncClient, clock: FakeClock
) -> None:
    """A token that ends in a second is asked for again after it."""
    caller = await authority.identify("ending-1")
    assert caller is not None
    clock.now = caller.token_expires_at or 0
    await authority.identify("ending-1")
    assert await _asked(client, "ending-1") == 2


async def test_an_ended_token_is_asked_for_each_time(
    authority: IntrospectAuthority, client: httpx.AsyncClient
) -> None:
    """What is over already is never remembered; the gate says that it is expired."""
    for _ in range(2):
        caller = await authority.identify("ended-1")
        assert caller is not None
    assert await _asked(client, "ended-1") == 2


async def test_equal_tokens_share_a_question(
    authority: IntrospectAuthority, client: httpx.AsyncClient
) -> None:
    """Fifty at once ask once, and one that leaves takes the answer from nobody."""
    tasks = [asyncio.create_task(authority.identify("slow-shared")) for _ in range(50)]
    await asyncio.sleep(0)
    tasks[0].cancel()
    found = await asyncio.gather(*tasks[1:])
    assert all(caller is not None for caller in found)
    assert await _asked(client, "slow-shared") == 1


async def test_what_is_remembered_is_bounded(
    authority: IntrospectAuthority, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The oldest answers are forgotten first, and no token is kept."""
    monkeypatch.setattr(authority_introspect, "MAX_CACHED", 3)
    for number in range(5):
        await authority.identify(f"good-{number}")
    assert len(authority._known) == 3
    assert "good-" not in repr(authority.__dict__)
