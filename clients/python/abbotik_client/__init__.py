"""What a program that uses rooms needs: a client, and the proof that a room's log is whole."""

from abbotik_client.client import Client
from abbotik_client.errors import RefusedError, UnreachableError
from abbotik_client.report import LogReport
from abbotik_kernel.chain import Mark

__all__ = ["Client", "LogReport", "Mark", "RefusedError", "UnreachableError"]
