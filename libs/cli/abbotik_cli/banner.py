"""What is printed when everything serves."""

from __future__ import annotations

from pathlib import Path

from abbotik_cli.tokens import Tokens


def rent_line(url: str, token: str) -> str:
    """Return the shell line that rents a room into $ROOM; README.md has the same."""
    return (
        f'ROOM=$(curl -s -X POST {url}/llm/room -H "Authorization: Bearer {token}" '
        r"""| sed -E 's/.*"id":"([0-9a-f-]{36})".*/\1/')"""
    )


def message_line(url: str, token: str) -> str:
    """Return the shell line that posts to $ROOM and streams the turn; README.md has the same."""
    return (
        f'curl -sN {url}/llm/room/$ROOM/messages -H "Authorization: Bearer {token}" '
        "-H 'Accept: text/event-stream' -H 'Content-Type: application/json' "
        """-d '{"content":"!stream 80 Hello from a room that never loses a word"}'"""
    )


def text(url: str, tokens: Tokens, home: Path, seconds: float) -> str:
    """Return the whole banner."""
    return f"""
Abbotik is ready after {seconds:.1f} s. Ctrl-C stops it.

  console     {url}/
  docs        {url}/docs
  user token  {tokens.user}
  root token  {tokens.root}
  state, logs {home}

Rent a room:

{rent_line(url, tokens.user)}

Send it a message and follow its turn:

{message_line(url, tokens.user)}
"""
