"""Where client libraries find the cluster while a test runs: ``KUBECONFIG``, and what they made of it when they were
imported. The Python clients read the variable at their import, which a test module does before any cluster runs: left
alone they would then go to the cluster of ``~/.kube/config``."""

from __future__ import annotations

import os
import sys
from pathlib import Path

VARIABLE = "KUBECONFIG"
#: Modules, and what each calls the file that it goes to by default.
_DEFAULTS = (
    ("kubernetes.config.kube_config", "KUBE_CONFIG_DEFAULT_LOCATION"),
    ("kubernetes_asyncio.config.kube_config", "KUBE_CONFIG_DEFAULT_LOCATION"),
)


class Environment:
    """Leads somewhere from ``lead`` to ``restore``."""

    def __init__(self) -> None:
        self._variable: str | None = os.environ.get(VARIABLE)
        self._defaults: dict[tuple[str, str], object] = {}

    def lead(self, kubeconfig: Path) -> None:
        os.environ[VARIABLE] = str(kubeconfig)
        for name, attribute in _DEFAULTS:
            module = sys.modules.get(name)
            if module is not None and hasattr(module, attribute):
                self._defaults.setdefault((name, attribute), getattr(module, attribute))
                setattr(module, attribute, str(kubeconfig))

    def restore(self) -> None:
        if self._variable is None:
            os.environ.pop(VARIABLE, None)
        else:
            os.environ[VARIABLE] = self._variable
        for (name, attribute), value in self._defaults.items():
            if name in sys.modules:
                setattr(sys.modules[name], attribute, value)
        self._defaults.clear()
