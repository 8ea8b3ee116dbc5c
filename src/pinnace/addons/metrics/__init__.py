"""The metrics API (``metrics.k8s.io``, ``kubectl top``), as metrics-server serves it."""
