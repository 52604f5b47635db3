"""What is printed when everything serves."""

from __future__ import annotations

from pathlib import Path

from abbotik_cli.tokens import Tokens

JSON = "-H 'Content-Type: application/json'"
READ_ID = """python3 -c 'import json, sys; print(json.load(sys.stdin)["data"]["id"])'"""


def rent_line(url: str, token: str) -> str:
    """Return the shell line that rents a room into $ROOM."""
    return (
        f"ROOM=$(curl -s {url}/llm/room -H 'Authorization: Bearer {token}' {JSON} "
        f"""-d '{{"purpose": "hello"}}' | {READ_ID}); echo $ROOM"""
    )


def message_line(url: str, token: str) -> str:
    """Return the shell line that posts a message to $ROOM and streams its turn."""
    return (
        f"curl -N {url}/llm/room/$ROOM/messages -H 'Authorization: Bearer {token}' {JSON} "
        """-H 'Accept: text/event-stream' -d '{"content": "Hello, room"}'"""
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
