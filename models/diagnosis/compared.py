"""The arms that are compared, and what tokens cost. Light, for a command's help lists the arms."""

from collections.abc import Mapping
from typing import Any, NamedTuple

ARMS: Mapping[str, tuple[str, Mapping[str, Any]]] = {
    "live": ("", {}),
    "composer": ("composer", {}),
    "base": ("base", {"sources": False}),
    "rag": ("base", {}),
    "tuned": ("tuned", {"sources": False}),
    "both": ("tuned", {}),
    "oracle_composer": ("composer", {"place": "only"}),
    "oracle_base": ("base", {"place": "only"}),
    "oracle_tuned": ("tuned", {"place": "only"}),
}
"""Arm -> the reply maker that it needs, and how it differs. `live` is the service as it is; `base`
and `tuned` are models without retrieval, checked by nobody; `oracle_*` are given the gold pages and
nothing else (a case without any is searched for as ever)."""


class Prices(NamedTuple):
    """Money a million tokens of prompt, and of completion."""

    prompt: float
    completion: float
