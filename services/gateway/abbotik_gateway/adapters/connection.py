"""uvicorn's connection, with a way to drop it that does not wait for its reader."""

from __future__ import annotations

from uvicorn.protocols.http.httptools_impl import HttpToolsProtocol

from abbotik_gateway.streams import ABORT


class Connection(HttpToolsProtocol):
    """Give it to uvicorn as ``http``.

    An application can end a response but not a connection: closed with bytes that nobody reads,
    it would keep them for as long as the reader's TCP stays up.
    """

    def on_message_begin(self) -> None:
        """Begin a request, and let its streams abort the connection."""
        super().on_message_begin()
        self.scope["extensions"] = {ABORT: self.transport.abort}  # type: ignore[dict-item] # uvicorn's type knows extensions without callables
