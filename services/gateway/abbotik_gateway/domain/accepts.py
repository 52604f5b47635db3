"""Content negotiation, as far as the gateway does any."""

from __future__ import annotations


def prefers(values: list[str], media_type: str) -> bool:
    """Say whether `Accept` names ``media_type`` itself, and not with `q=0`.

    Wildcards do not count: what is sent for `*/*` is the other form.
    """
    for part in ",".join(values).split(","):
        name, *parameters = (piece.strip().lower() for piece in part.split(";"))
        if name == media_type:
            return not any(_zero(parameter) for parameter in parameters)
    return False


def _zero(parameter: str) -> bool:
    name, _, value = parameter.partition("=")
    return name.strip() == "q" and value.strip().rstrip("0") in ("0.", "", "0")
