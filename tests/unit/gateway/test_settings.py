"""The gateway's settings."""

from __future__ import annotations

import pytest

from abbotik_gateway.settings import Settings

TOKENS = {"ABBOTIK_DEV_TOKEN": "u" * 32, "ABBOTIK_DEV_ROOT_TOKEN": "r" * 32}


def _load(monkeypatch: pytest.MonkeyPatch, **given: str) -> Settings:
    for name in ("HOST", "PORT"):
        monkeypatch.delenv(name, raising=False)
    for name, value in given.items():
        monkeypatch.setenv(name, value)
    return Settings.load()


def test_the_defaults_are_for_one_machine(monkeypatch: pytest.MonkeyPatch) -> None:
    """Loopback, port 9002, health on 9102, the dev authority."""
    settings = _load(monkeypatch)
    assert (settings.host, settings.port, settings.metrics_port) == ("127.0.0.1", 9002, 9102)
    assert settings.authorities == ["dev"]
    assert (settings.docs / "llm" / "room.md").is_file()


@pytest.mark.parametrize("host", ["127.0.0.1", "127.5.5.5", "::1", "localhost"])
def test_dev_works_on_loopback(monkeypatch: pytest.MonkeyPatch, host: str) -> None:
    """Tokens may be short there, or missing."""
    assert _load(monkeypatch, HOST=host, ABBOTIK_DEV_TOKEN="shorttoken").dev_root_token is None


@pytest.mark.parametrize("host", ["10.0.0.1", "::", "fd00::1", "example.org"])
def test_dev_off_loopback_needs_consent_and_long_tokens(
    monkeypatch: pytest.MonkeyPatch, host: str, capsys: pytest.CaptureFixture[str]
) -> None:
    """ABBOTIK_DEV_ALLOW_REMOTE=1 and both tokens with 32 characters, else a sentence and exit 1."""
    remote = {"HOST": host, "ABBOTIK_DEV_ALLOW_REMOTE": "1"}
    for given in (
        {"HOST": host, **TOKENS},
        remote,
        {**remote, **TOKENS, "ABBOTIK_DEV_ROOT_TOKEN": "r" * 31},
        {**remote, "ABBOTIK_DEV_TOKEN": "u" * 32},
    ):
        with monkeypatch.context() as context, pytest.raises(SystemExit) as ended:
            _load(context, **given)
        assert ended.value.code == 1
        said = capsys.readouterr().err
        assert "ABBOTIK_DEV" in said
        assert "uuuu" not in said
    assert _load(monkeypatch, **remote, **TOKENS).host == host


@pytest.mark.parametrize(
    ("name", "value", "said"),
    [
        ("ABBOTIK_AUTH", "keys", "`keys` is not built in yet"),
        ("ABBOTIK_AUTH", "dev,none", "unknown"),
        ("ABBOTIK_AUTH", "dev,dev", "twice"),
        ("ABBOTIK_AUTH", "introspect", "ABBOTIK_API_URL"),
        ("ABBOTIK_API_URL", "ftp://x", "http"),
        ("ABBOTIK_ROOM_STORE", "memory", "not built in yet"),
        ("ABBOTIK_ROOM_STORE", "api", "not built in yet"),
        ("ABBOTIK_DEV_TOKEN", "with space", "ABBOTIK_DEV_TOKEN"),
        ("ABBOTIK_DEV_TOKEN", "short", "ABBOTIK_DEV_TOKEN"),
        ("PORT", "99999", "PORT"),
    ],
)
def test_a_fault_is_one_clear_line(
    monkeypatch: pytest.MonkeyPatch,
    capsys: pytest.CaptureFixture[str],
    name: str,
    value: str,
    said: str,
) -> None:
    """The line says what is wrong and never repeats a secret."""
    with pytest.raises(SystemExit):
        _load(monkeypatch, **{name: value})
    error = capsys.readouterr().err
    assert said in error
    assert "with space" not in error


def test_the_dev_tokens_must_differ(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    """One token cannot be user and root."""
    with pytest.raises(SystemExit):
        _load(monkeypatch, ABBOTIK_DEV_TOKEN="same-token", ABBOTIK_DEV_ROOT_TOKEN="same-token")
    assert "must differ" in capsys.readouterr().err


def test_authorities_are_asked_in_their_order(monkeypatch: pytest.MonkeyPatch) -> None:
    """A list with commas, white space around names allowed."""
    settings = _load(monkeypatch, ABBOTIK_AUTH="introspect, dev", ABBOTIK_API_URL="http://api")
    assert settings.authorities == ["introspect", "dev"]
