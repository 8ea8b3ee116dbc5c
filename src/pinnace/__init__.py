"""Kubernetes, whole, in Python. The rooms and who may enter them: docs/architecture.md."""

__version__ = "0.1.0"
#: The Kubernetes release whose API this serves (what /version answers).
KUBERNETES_VERSION = "v1.37.1"
