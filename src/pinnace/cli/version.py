"""``pinnace version``."""

from __future__ import annotations

import platform

import pinnace


def run() -> int:
    print(
        f"pinnace {pinnace.__version__} (Kubernetes {pinnace.KUBERNETES_VERSION}, Python {platform.python_version()})"
    )
    return 0
