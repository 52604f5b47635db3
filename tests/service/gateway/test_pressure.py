"""Backpressure: new work is refused with its reason before queues grow; the rest goes on."""

from __future__ import annotations

import pytest

from abbotik_gateway.domain.pressure import Readings
from tests.fakes.gateway_api import GatewayApi

OVER = [
    (Readings(commands=11), "commands_waiting", 11, 10),
    (Readings(turns=21), "turns_waiting", 21, 20),
    (Readings(store_s=0.75), "store_slow", 0.75, 0.5),
    (Readings(projection_s=1.5), "projections_late", 1.5, 1),
]


@pytest.mark.parametrize(("readings", "reason", "value", "limit"), OVER)
async def test_new_work_is_refused_with_its_reason(
    api: GatewayApi, readings: Readings, reason: str, value: float, limit: float
) -> None:
    """Rent, message and wake: 503 with reason, value, limit and Retry-After; nothing is sent."""
    room = await api.rent()
    sent = len(api.plane.sent)
    api.pressure.readings = readings
    for path, body in (
        ("/llm/room", {}),
        (f"/llm/room/{room}/messages", {"content": "x"}),
        (f"/llm/room/{room}/wake", {}),
    ):
        answer = await api.call("POST", path, json=body)
        assert answer.status_code == 503, answer.text
        assert int(answer.headers["Retry-After"]) >= 1
        said = answer.json()
        assert said["error_code"] == "SERVICE_UNAVAILABLE"
        assert (said["reason"], said["value"], said["limit"]) == (reason, value, limit)
    assert len(api.plane.sent) == sent


async def test_what_takes_work_away_goes_on(api: GatewayApi) -> None:
    """A release, a patch and every read pass, whatever waits."""
    room = await api.rent()
    api.pressure.readings = Readings(commands=10**6, turns=10**6, store_s=9)
    assert (await api.call("GET", f"/llm/room/{room}")).status_code == 200
    patched = await api.call("PATCH", f"/llm/room/{room}", json={"purpose": "x"})
    assert patched.status_code == 200
    assert (await api.call("POST", f"/llm/room/{room}/release", json={})).status_code == 200


async def test_limit_itself_is_no_pressure(api: GatewayApi) -> None:
    """Only what is above a limit is refused."""
    api.pressure.readings = Readings(commands=10, turns=20, store_s=0.5)
    assert (await api.call("POST", "/llm/room", json={})).status_code == 201


async def test_refused_request_is_safe_to_send_again(api: GatewayApi) -> None:
    """Its Idempotency-Key is open: once the pressure is gone the same request is carried out."""
    key = {"Idempotency-Key": "k1"}
    api.pressure.readings = Readings(commands=11)
    assert (await api.call("POST", "/llm/room", json={}, headers=key)).status_code == 503
    api.pressure.readings = Readings()
    answer = await api.call("POST", "/llm/room", json={}, headers=key)
    assert answer.status_code == 201, answer.text
    assert "Idempotent-Replayed" not in answer.headers
