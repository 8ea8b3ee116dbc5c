"""``$(NAME)`` in commands, arguments and environment values."""

from __future__ import annotations

import re
from collections.abc import Mapping

_TOKEN = re.compile(r"\$\$|\$\(([^()]*)\)")


def expand(text: str, values: Mapping[str, str]) -> str:
    """``$(NAME)`` becomes its value, or stays if there is none; ``$$`` becomes ``$``, so ``$$(NAME)`` stays.

    >>> expand("$(A) $(B) $$(A)", {"A": "1"})
    '1 $(B) $(A)'
    """

    def one(match: re.Match[str]) -> str:
        if match[0] == "$$":
            return "$"
        return values.get(match[1], match[0])

    return _TOKEN.sub(one, text)
