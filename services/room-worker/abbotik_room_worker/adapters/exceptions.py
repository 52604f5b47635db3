"""How often commands broke the code, counted in MongoDB so that all workers count together."""

from __future__ import annotations

from typing import cast

from pymongo import ReturnDocument
from pymongo.asynchronous.database import AsyncDatabase

from abbotik_contracts.room_log import Record
from abbotik_room_worker.adapters.answering import answering

COMMAND_EXCEPTIONS = "command_exceptions"


class MongoExceptions:
    """One document for each command that broke, forgotten a day after its last exception."""

    def __init__(self, database: AsyncDatabase[Record]) -> None:
        self._commands = database[COMMAND_EXCEPTIONS]

    async def count(self, tenant: str, command_id: str) -> int:
        """Count one exception more; return how many there were. Raises UnavailableError."""
        with answering():
            counted = await self._commands.find_one_and_update(
                _command(tenant, command_id),
                {"$inc": {"exceptions": 1}, "$currentDate": {"at": True}},
                upsert=True,
                return_document=ReturnDocument.AFTER,
            )
        return cast("int", cast("Record", counted)["exceptions"])

    async def forget(self, tenant: str, command_id: str) -> None:
        """Begin anew, as a person may send the command again. Raises UnavailableError."""
        with answering():
            await self._commands.delete_one(_command(tenant, command_id))


def _command(tenant: str, command_id: str) -> Record:
    return {"_id": {"tenant": tenant, "command": command_id}}
