"""libnftables in this process, through ctypes: a transaction takes fractions of a millisecond instead of a process."""

from __future__ import annotations

import ctypes
import threading

from pinnace.network.netlink import NETLINK_NETFILTER, Netlink, attributes

LIBRARY = "libnftables.so.1"
_SHOW_HANDLES = 1 << 3
_GET_GENERATION, _GENERATION_ID = 10 << 8 | 16, 1
_NETFILTER_HEADER = bytes(4)


def is_installed() -> bool:
    """Whether the library is there."""
    try:
        ctypes.CDLL(LIBRARY)
    except OSError:
        return False
    return True


def generation() -> int:
    """The number of the kernel's rules, which every change of them by anyone makes another. Raises OSError."""
    with Netlink(NETLINK_NETFILTER) as kernel:
        (answer,) = kernel.ask(_GET_GENERATION, 0, _NETFILTER_HEADER)
    return int.from_bytes(attributes(answer[len(_NETFILTER_HEADER) :])[_GENERATION_ID], "big")


class NftError(Exception):
    """The kernel or the library refused a transaction, of which nothing has been applied."""


class Nft:
    """A context on the network namespace of the thread that makes it. Calls block; use it from one thread at a time
    (it makes sure)."""

    def __init__(self) -> None:
        """Raises NftError without the library."""
        try:
            self._library = ctypes.CDLL(LIBRARY)
        except OSError as error:
            raise NftError(f"{LIBRARY} is not installed (Debian's package nftables): {error}") from error
        self._library.nft_ctx_new.restype = ctypes.c_void_p
        self._library.nft_ctx_new.argtypes = [ctypes.c_uint32]
        for name in ("nft_ctx_get_error_buffer", "nft_ctx_get_output_buffer"):
            getattr(self._library, name).restype = ctypes.c_char_p
            getattr(self._library, name).argtypes = [ctypes.c_void_p]
        self._library.nft_ctx_output_set_flags.argtypes = [ctypes.c_void_p, ctypes.c_uint]
        for name in ("nft_ctx_buffer_error", "nft_ctx_buffer_output", "nft_ctx_free"):
            getattr(self._library, name).argtypes = [ctypes.c_void_p]
        self._library.nft_run_cmd_from_buffer.argtypes = [ctypes.c_void_p, ctypes.c_char_p]
        self._lock = threading.Lock()
        self._context: int | None = self._library.nft_ctx_new(0)
        if not self._context:
            raise NftError("libnftables could not be set up")
        self._library.nft_ctx_output_set_flags(self._context, _SHOW_HANDLES)
        self._library.nft_ctx_buffer_error(self._context)
        self._library.nft_ctx_buffer_output(self._context)

    def run(self, commands: str) -> str:
        """Apply ``commands`` in one transaction and return what they printed. Raises NftError."""
        with self._lock:
            if self._context is None:
                raise NftError("closed")
            failed = self._library.nft_run_cmd_from_buffer(self._context, commands.encode())
            problem = self._library.nft_ctx_get_error_buffer(self._context) or b""
            printed = self._library.nft_ctx_get_output_buffer(self._context) or b""
        if failed:
            raise NftError(problem.decode("utf-8", "replace").strip()[:2000] or "nftables failed without a reason")
        return bytes(printed).decode("utf-8", "replace")

    def close(self) -> None:
        """Idempotent."""
        with self._lock:
            if self._context is not None:
                self._library.nft_ctx_free(self._context)
                self._context = None
