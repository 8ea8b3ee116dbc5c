"""The generated tables are what ``make update`` makes."""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path

ROOT = Path(__file__).resolve().parents[3]


def test_the_tables_are_up_to_date() -> None:
    command = [sys.executable, str(ROOT / "hack" / "update.py"), "--verify"]
    done = subprocess.run(command, capture_output=True, text=True, check=False, timeout=120)
    assert done.returncode == 0, done.stdout + done.stderr
