"""Container life-cycle hooks: postStart and preStop."""

from __future__ import annotations

from pinnace.api import meta
from pinnace.api.types import Object
from pinnace.core.clock import Clock
from pinnace.kubelet.probes import checks
from pinnace.kubelet.runtime.base import Runtime, RuntimeFailure

#: Seconds a hook's command or request may take at most.
LIMIT = 600.0


class HookFailure(Exception):
    """The hook did not succeed; the text is the event's."""


async def run(
    runtime: Runtime, clock: Clock, pod: Object, spec: Object, container_id: str, hook: Object, *, node_ip: str
) -> None:
    """Run one hook of a container; one of a Pod in the node's network is asked at ``node_ip``. Raises HookFailure."""
    if "sleep" in hook:
        await clock.sleep(float(hook["sleep"]["seconds"]))
        return
    if not runtime.real:
        return
    if "exec" in hook:
        command = [str(part) for part in hook["exec"].get("command") or ()]
        try:
            result = await runtime.exec(container_id, command, LIMIT)
        except (RuntimeFailure, TimeoutError) as error:
            raise HookFailure(
                f"Exec lifecycle hook ({command}) for Container {spec['name']!r} failed: {error}"
            ) from error
        if result.exit_code:
            output = (result.stdout + result.stderr).decode(errors="replace")
            raise HookFailure(
                f"Exec lifecycle hook ({command}) for Container {spec['name']!r} in Pod {meta.name(pod)!r} failed"
                f" - error: command exited with {result.exit_code}, message: {output!r}"
            )
        return
    if "httpGet" in hook:
        state = await runtime.pod(meta.uid(pod))
        box = state.sandbox()
        address = box.ips[0] if box is not None and box.ips else node_ip
        ok, output = await checks.http_get(hook["httpGet"], spec, address, LIMIT, clock)
        if not ok:
            raise HookFailure(f"HTTP lifecycle hook for Container {spec['name']!r} failed: {output}")
