"""Where keys of the store are in etcd: under a prefix of its own, beside a few that are the store's."""

from __future__ import annotations

from pinnace.store.protocol import prefix_end

#: What no object's key begins with.
_INTERNAL = "/pinnace.internal/"


class Keys:
    """``root`` + rest here is ``prefix`` + rest there, and every key's rest begins with a slash. Example: with the root
    /registry and the prefix /blue, /registry/pods/default/a is /blue/pods/default/a in etcd."""

    def __init__(self, prefix: str, root: str) -> None:
        self.prefix = prefix
        self._root = root
        self._there = prefix.encode()
        self._own = (prefix + _INTERNAL).encode()
        #: The range of all keys.
        self.start = f"{prefix}/".encode()
        self.end = prefix_end(f"{prefix}/").encode()

    def there(self, key: str) -> bytes:
        """Raises ValueError for a key that cannot be one of an object."""
        rest = key.removeprefix(self._root)
        if len(key) - len(rest) != len(self._root) or not rest.startswith("/") or rest.startswith(_INTERNAL):
            raise ValueError(f"key {key!r} is none for an object: it must begin with {self._root}/")
        return self._there + rest.encode()

    def here(self, raw: bytes) -> str | None:
        """None for what is no object's: the store's own keys, and those of somebody else that are no text."""
        if raw.startswith(self._own):
            return None
        try:
            return self._root + raw[len(self._there) :].decode()
        except UnicodeDecodeError:
            return None

    def internal(self, name: str) -> bytes:
        return self._own + name.encode()
