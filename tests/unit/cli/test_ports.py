"""Ports are free, distinct and outside the range of outgoing connections."""

from __future__ import annotations

import errno
import socket

from abbotik_cli.ports import HIGHEST, LOOPBACK, LOWEST, Ports, bind_error


def test_preferred_port_is_taken_while_free() -> None:
    """The first preferred port that nobody uses is handed out."""
    free = Ports().take()
    assert Ports().take([free]) == free


def test_busy_port_is_passed_over() -> None:
    """A port that somebody listens on is neither handed out nor called free."""
    with socket.create_server((LOOPBACK, 0)) as busy:
        port = busy.getsockname()[1]
        assert Ports().take([port]) != port
        error = bind_error(LOOPBACK, port)
        assert error is not None
        assert error.errno == errno.EADDRINUSE


def test_no_port_is_handed_out_twice() -> None:
    """Ports of one stack are distinct, also when the same one is preferred twice."""
    ports = Ports()
    first = ports.take()
    assert first not in {ports.take([first]) for _ in range(20)}


def test_ports_stay_below_the_ephemeral_range() -> None:
    """An outgoing connection cannot take the port of a server that is being started again."""
    ports = Ports()
    assert all(LOWEST <= ports.take() <= HIGHEST for _ in range(20))


def test_unknown_host_is_an_error_not_an_exception() -> None:
    """A host that is no address of this machine is reported like a busy port."""
    assert bind_error("203.0.113.7", 9002) is not None
