"""The bridge between tests, which wait, and the cluster's event loop, which runs in a thread of its own (design D9)."""

from __future__ import annotations

import asyncio
import concurrent.futures
import threading
from collections.abc import Callable, Coroutine
from typing import Any, TypeVar

T = TypeVar("T")


class LoopThread:
    """An event loop that runs from ``start`` to ``stop``."""

    def __init__(self, make_loop: Callable[[], asyncio.AbstractEventLoop], name: str) -> None:
        self._make_loop = make_loop
        self._thread = threading.Thread(target=self._run, name=name, daemon=True)
        self._loop: asyncio.AbstractEventLoop | None = None
        self._running = threading.Event()
        self._failure: BaseException | None = None
        self._waited_for: set[concurrent.futures.Future[Any]] = set()

    def start(self) -> None:
        self._thread.start()
        self._running.wait()
        if self._failure is not None:
            raise self._failure

    def _run(self) -> None:
        try:
            with asyncio.Runner(loop_factory=self._make_loop) as runner:
                self._loop = loop = runner.get_loop()
                loop.call_soon(self._running.set)
                loop.run_forever()
        except BaseException as error:  # noqa: BLE001 - raised by start in the thread that waits for it
            self._failure = error
        finally:
            self._running.set()
            for future in list(self._waited_for):  # what came in too late to be begun
                future.cancel()

    def call(self, work: Coroutine[Any, Any, T]) -> T:
        """What ``work`` returns or raises, run in the event loop. Not for use in that loop."""
        loop = self._loop
        if loop is None or not self._thread.is_alive():
            work.close()
            raise RuntimeError("this cluster is stopped")
        if threading.current_thread() is self._thread:
            work.close()
            raise RuntimeError("the cluster's own event loop cannot wait for itself")
        future = asyncio.run_coroutine_threadsafe(work, loop)
        self._waited_for.add(future)
        if not self._thread.is_alive():
            future.cancel()
        try:
            return future.result()
        except concurrent.futures.CancelledError:
            raise RuntimeError("this cluster was stopped meanwhile") from None
        except BaseException:
            future.cancel()  # Ctrl-C, or a time limit that a plugin sets by a signal
            raise
        finally:
            self._waited_for.discard(future)

    def stop(self) -> None:
        """Cancel what still runs and end the thread. Idempotent."""
        if self._loop is not None and self._thread.is_alive():
            self._loop.call_soon_threadsafe(self._loop.stop)
            self._thread.join()
