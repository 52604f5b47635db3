"""What a program that uses rooms needs: a client, and the proof that a room's log is whole."""

from abbotik_client.client import Client
from abbotik_client.errors import RefusedError, UnreachableError
from abbotik_client.verdict import Verdict
from abbotik_kernel.chain import Mark

__all__ = ["Client", "Mark", "RefusedError", "UnreachableError", "Verdict"]
