"""What ends a command with exit code 1."""

from __future__ import annotations


class Fault(Exception):  # noqa: N818 - the word of the house for what a person has to mend
    """One sentence for the person at the terminal: what is wrong and what to do."""
