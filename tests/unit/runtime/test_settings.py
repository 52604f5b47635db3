"""Settings: read from the environment, faults listed, secrets never shown."""

from __future__ import annotations

import pytest
from pydantic import Field

from abbotik_runtime.settings import Port, ProvisionSettings, ServiceSettings


class Sample(ServiceSettings):
    """A service with a port of its own."""

    metrics_port: Port = Field(
        default=9103, validation_alias="ABBOTIK_METRICS_PORT", description="a port"
    )


def test_defaults_are_those_of_a_machine_of_ones_own() -> None:
    """Without any variable a service binds loopback and looks for servers on this machine."""
    settings = Sample.load()
    assert (settings.host, settings.metrics_port) == ("127.0.0.1", 9103)
    assert settings.nats_servers == ["nats://127.0.0.1:4222"]
    assert settings.mongo_database == "abbotik"


def test_variables_are_read_by_their_published_names(monkeypatch: pytest.MonkeyPatch) -> None:
    """Each setting comes from the variable that the documentation names."""
    monkeypatch.setenv("HOST", "0.0.0.0")  # noqa: S104 - only read, never bound
    monkeypatch.setenv("ABBOTIK_METRICS_PORT", "0")
    monkeypatch.setenv("ABBOTIK_NATS_URL", "nats://a:4222, tls://b:4222")
    monkeypatch.setenv("ABBOTIK_LOG_LEVEL", "debug")
    settings = Sample.load()
    assert settings.host == "0.0.0.0"  # noqa: S104 - only compared
    assert settings.metrics_port == 0
    assert settings.nats_servers == ["nats://a:4222", "tls://b:4222"]
    assert settings.log_level == "debug"


def test_provision_reads_how_often_streams_are_kept(monkeypatch: pytest.MonkeyPatch) -> None:
    """One copy, unless a cluster of three or five is asked for."""
    assert ProvisionSettings.load().nats_replicas == 1
    for asked in (1, 3, 5):
        monkeypatch.setenv("ABBOTIK_NATS_REPLICAS", str(asked))
        assert ProvisionSettings.load().nats_replicas == asked


@pytest.mark.parametrize("asked", ["0", "2", "7", "three"])
def test_another_number_of_replicas_is_refused(
    asked: str, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    """The fault names the variable and what it must be."""
    monkeypatch.setenv("ABBOTIK_NATS_REPLICAS", asked)
    with pytest.raises(SystemExit):
        ProvisionSettings.load()
    (line,) = capsys.readouterr().err.splitlines()
    assert line.startswith("ABBOTIK_NATS_REPLICAS: ")
    assert line.endswith("it must be 1, 3 or 5")


def test_an_empty_variable_counts_as_absent(monkeypatch: pytest.MonkeyPatch) -> None:
    """Compose passes `NAME=` for what was left out, which must mean the default."""
    monkeypatch.setenv("ABBOTIK_METRICS_PORT", "")
    assert Sample.load().metrics_port == 9103


def test_every_fault_is_listed_with_what_it_must_be(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    """All faults of one start are printed together and the process ends with code 1."""
    monkeypatch.setenv("ABBOTIK_METRICS_PORT", "many")
    monkeypatch.setenv("ABBOTIK_LOG_FORMAT", "xml")
    with pytest.raises(SystemExit) as ended:
        Sample.load()
    assert ended.value.code == 1
    lines = sorted(capsys.readouterr().err.splitlines())
    assert len(lines) == 2
    assert lines[0].startswith("ABBOTIK_LOG_FORMAT: ")
    assert lines[0].endswith("it must be json or console")
    assert lines[1].startswith("ABBOTIK_METRICS_PORT: ")


@pytest.mark.parametrize(
    ("name", "value"),
    [
        ("ABBOTIK_NATS_URL", "http://user:canary@host"),
        ("ABBOTIK_MONGO_URL", "postgres://user:canary@host"),
    ],
)
def test_a_fault_never_shows_the_value(
    name: str, value: str, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    """A URL with a password in it is refused without being repeated."""
    monkeypatch.setenv(name, value)
    with pytest.raises(SystemExit):
        Sample.load()
    printed = capsys.readouterr().err
    assert name in printed
    assert "canary" not in printed


def test_urls_do_not_show_in_a_repr() -> None:
    """A settings object may be logged: the URLs, which may hold passwords, are not part of it."""
    settings = Sample(mongo_url="mongodb://user:canary@host/", nats_url="nats://user:canary@host")
    assert "canary" not in repr(settings)
