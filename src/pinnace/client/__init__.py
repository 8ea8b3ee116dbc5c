"""How every part but the API server reaches the API: one client over an in-process or an HTTPS transport (D1)."""
