"""The Kubernetes API as data and pure functions: what a kind is, how objects are checked, changed and shown.

No I/O and no event loop below this package. An object is a plain JSON ``dict`` (design D2).
"""
