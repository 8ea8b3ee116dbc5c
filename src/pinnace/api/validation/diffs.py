"""How field errors show what changed."""

from __future__ import annotations

import difflib
import json
from typing import Any


def unified(old: Any, new: Any) -> str:
    """A unified diff, with three lines of context, of both values as JSON indented by one space."""
    before, after = (json.dumps(value, indent=1, sort_keys=True).splitlines() for value in (old, new))
    return "".join(f"{line}\n" for line in list(difflib.unified_diff(before, after, lineterm=""))[2:])
