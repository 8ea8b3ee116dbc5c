"""The preparation of a real Pod: directories, cgroup, volumes, hosts file, and CRI's configurations."""

from __future__ import annotations

import asyncio
import os
import shutil
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path

from pinnace.api import meta, pods, qos
from pinnace.api.types import GVR, Object
from pinnace.client.informer import Informer
from pinnace.client.recorder import WARNING, Recorder
from pinnace.kubelet.lifecycle.plan import spec_hash
from pinnace.kubelet.logs import tail_of
from pinnace.kubelet.objects import ObjectCache
from pinnace.kubelet.pods import dns, env, resources, security
from pinnace.kubelet.pods.bare import identity_labels
from pinnace.kubelet.pods.cgroups import Cgroups
from pinnace.kubelet.pods.expansion import expand
from pinnace.kubelet.pods.failure import StartFailure
from pinnace.kubelet.runtime.base import (
    CONTAINER_NAME,
    HASH,
    RESTART_COUNT,
    RUNNING,
    TERMINATION_FILE,
    TERMINATION_PATH,
    TERMINATION_POLICY,
    Config,
    Container,
    Image,
    PodState,
)
from pinnace.kubelet.volumes import payload
from pinnace.kubelet.volumes.manager import Volumes

#: Bytes of a termination message, and of the log that may stand in for one.
MESSAGE_LIMIT = 4096
LOG_MESSAGE_LIMIT = 2048
LOG_MESSAGE_LINES = 80
_PROPAGATION = {"HostToContainer": "PROPAGATION_HOST_TO_CONTAINER", "Bidirectional": "PROPAGATION_BIDIRECTIONAL"}


@dataclass(slots=True)
class Settings:
    """One node's choices. ``memory`` is the machine's, in bytes."""

    root: Path
    node_ips: Sequence[str]
    cluster_dns: Sequence[str]
    cluster_domain: str
    memory: int
    allocatable: Mapping[str, str]
    resolv_conf: Path = Path("/etc/resolv.conf")
    host_name: str = field(default_factory=lambda: os.uname().nodename)

    @property
    def pods_dir(self) -> Path:
        return self.root / "pods"

    @property
    def logs_dir(self) -> Path:
        return self.root / "logs"

    def log_dir(self, pod: Object) -> Path:
        return self.logs_dir / f"{meta.namespace(pod)}_{meta.name(pod)}_{meta.uid(pod)}"


class MachinePreparation:
    """Implements ``host.Preparation``."""

    def __init__(
        self,
        settings: Settings,
        volumes: Volumes,
        objects: ObjectCache,
        services: Informer,
        cgroups: Cgroups,
        recorder: Recorder,
    ) -> None:
        self._recorder = recorder
        #: Called with a Pod's UID when an object that its containers' environments are made of has changed.
        self.changed_object: Callable[[str], None] = lambda uid: None
        self._burstable: dict[str, int] = {}  # Pod UID -> the CPU that it asks for, in thousandths
        self._settings = settings
        self._volumes = volumes
        self._objects = objects
        self._services = services
        self._cgroups = cgroups

    async def mount(self, pod: Object) -> None:
        settings = self._settings
        try:
            (settings.pods_dir / meta.uid(pod)).mkdir(parents=True, exist_ok=True, mode=0o755)
            settings.log_dir(pod).mkdir(parents=True, exist_ok=True, mode=0o755)
            self._cgroups.create(resources.cgroup_parent(pod), *resources.pod_limits(pod))
            if qos.pod_qos(pod) == qos.BURSTABLE:
                self._burstable[meta.uid(pod)] = pods.pod_requests(pod).get("cpu", 0)
            self._share_out()
        except OSError as error:
            text = f"failed to ensure that the pod: {meta.uid(pod)} cgroups exist and are correctly applied: {error}"
            raise StartFailure("ContainerCreating", text, event="FailedCreatePodContainer") from error
        await self._volumes.mount(pod)

    def _share_out(self) -> None:
        """Pods that promise nothing get what the others leave; the burstable ones together what they ask for."""
        self._cgroups.share_out("", resources.cpu_shares(pods.amounts(self._settings.allocatable).get("cpu", 0)))
        self._cgroups.share_out("besteffort", resources.MIN_SHARES)
        self._cgroups.share_out("burstable", resources.cpu_shares(sum(self._burstable.values())))

    # -- sandboxes

    async def sandbox(self, pod: Object, attempt: int) -> Config:
        settings, spec = self._settings, pod["spec"]
        if spec.get("runtimeClassName"):
            text = (
                f"Failed to create pod sandbox: RuntimeClass {spec['runtimeClassName']!r}: not supported by this node"
            )
            raise StartFailure("CreatePodSandboxError", text, event="FailedCreatePodSandBox")
        if spec.get("hostUsers") is False:
            text = 'Failed to create pod sandbox: RuntimeClass handler "" does not support user namespaces'
            raise StartFailure("CreatePodSandboxError", text, event="FailedCreatePodSandBox", hold=60.0)
        name = "" if spec.get("hostNetwork") else self._hostname(pod)
        conf = self._resolv_conf(pod)
        sysctls = (spec.get("securityContext") or {}).get("sysctls") or ()
        return {
            "metadata": {
                "name": meta.name(pod),
                "namespace": meta.namespace(pod),
                "uid": meta.uid(pod),
                "attempt": attempt,
            },
            "hostname": name,
            "log_directory": str(settings.log_dir(pod)),
            "dns_config": {
                "servers": list(conf.servers),
                "searches": list(conf.searches),
                "options": list(conf.options),
            },
            "port_mappings": _port_mappings(pod),
            "labels": {**meta.labels(pod), **identity_labels(pod)},
            "annotations": dict(meta.annotations(pod)),
            "linux": {
                "cgroup_parent": resources.cgroup_parent(pod),
                "security_context": security.sandbox_security(pod),
                "sysctls": {entry["name"]: entry["value"] for entry in sysctls},
            },
        }

    def _hostname(self, pod: Object) -> str:
        name = dns.hostname(pod, self._settings.cluster_domain)[0]
        if len(name) > dns.MAX_HOST_NAME:
            text = (
                f"Failed to construct FQDN from Pod hostname and cluster domain, FQDN {name} is too long "
                f"({dns.MAX_HOST_NAME} characters is the max, {len(name)} characters requested)"
            )
            raise StartFailure("CreatePodSandboxError", text, event="FailedCreatePodSandBox", hold=60.0)
        return name

    def _resolv_conf(self, pod: Object) -> dns.ResolvConf:
        settings = self._settings
        try:
            host = dns.parse(settings.resolv_conf.read_text())
        except OSError:  # a machine without one has no name servers to hand on
            host = dns.ResolvConf()
        conf, told = dns.limited(dns.pod_resolv_conf(pod, host, settings.cluster_dns, settings.cluster_domain))
        for text in told:
            self._recorder.event(pod, WARNING, "DNSConfigForming", text)
        return conf

    # -- containers

    async def container(
        self, pod: Object, spec: Object, kind: str, attempt: int, state: PodState, sandbox: Config, image: Image
    ) -> Config:
        box = state.sandbox()
        host_network = bool(pod["spec"].get("hostNetwork"))
        ips = tuple(self._settings.node_ips) if host_network or box is None else box.ips
        self.know_addresses(pod, ips)
        environment = await self._environment(pod, spec, ips)
        command, arguments = env.command_line(spec, environment)
        name = spec["name"]
        termination = self._termination_file(pod, name, attempt)
        annotations = {
            HASH: spec_hash(spec),
            RESTART_COUNT: str(attempt),
            TERMINATION_PATH: spec.get("terminationMessagePath") or "/dev/termination-log",
            TERMINATION_POLICY: spec.get("terminationMessagePolicy") or "File",
            TERMINATION_FILE: str(termination),
        }
        (self._settings.log_dir(pod) / name).mkdir(parents=True, exist_ok=True)
        return {
            "metadata": {"name": name, "attempt": attempt},
            "command": command,
            "args": arguments,
            "working_dir": spec.get("workingDir") or "",
            "envs": [
                {"key": key, "value": value.encode("utf-8", "surrogateescape")} for key, value in environment.items()
            ],
            "mounts": self._mounts(pod, spec, environment, ips, termination, annotations[TERMINATION_PATH]),
            "labels": {**identity_labels(pod), CONTAINER_NAME: name},
            "annotations": annotations,
            "log_path": f"{name}/{attempt}.log",
            "stdin": bool(spec.get("stdin")),
            "stdin_once": bool(spec.get("stdinOnce")),
            "tty": bool(spec.get("tty")),
            "linux": {
                "resources": resources.container_resources(pod, spec, self._settings.memory),
                "security_context": security.container_security(
                    pod, spec, image, _target(spec, state), profiles=self._settings.root / "seccomp"
                ),
            },
        }

    def know_addresses(self, pod: Object, ips: tuple[str, ...]) -> None:
        self._volumes.know_addresses(meta.uid(pod), ips or tuple(self._settings.node_ips))

    async def _environment(self, pod: Object, spec: Object, ips: Sequence[str]) -> dict[str, str]:
        async def fetch(gvr: GVR, name: str) -> Object | None:
            uid = meta.uid(pod)
            return await self._objects.get(
                gvr, meta.namespace(pod), name, f"{uid}/env", lambda: self.changed_object(uid)
            )

        around = env.Surroundings(self._services, self._settings.node_ips, ips, self._settings.allocatable)
        try:
            return await env.environment(pod, spec, around, fetch)
        except TimeoutError as error:
            raise env.config_error("the API server does not answer") from error

    def _termination_file(self, pod: Object, name: str, attempt: int) -> Path:
        directory = self._settings.pods_dir / meta.uid(pod) / "containers" / name
        directory.mkdir(parents=True, exist_ok=True)
        path = directory / f"termination-{attempt}"
        path.touch()
        path.chmod(0o666)
        return path

    def _mounts(
        self,
        pod: Object,
        spec: Object,
        environment: Mapping[str, str],
        ips: Sequence[str],
        termination: Path,
        termination_path: str,
    ) -> list[Config]:
        volumes = {volume["name"]: volume for volume in pod["spec"].get("volumes") or ()}
        if spec.get("volumeDevices"):
            raise env.config_error(
                f"container {spec['name']}: block volumes (volumeDevices) are not supported by this node"
            )
        if any(mount.get("recursiveReadOnly") == "Enabled" for mount in spec.get("volumeMounts") or ()):
            raise env.config_error("recursive read-only mounts are not supported by the container runtime")
        found: list[Config] = []
        for mount in spec.get("volumeMounts") or ():
            volume = volumes[mount["name"]]
            path = self._volumes.path(meta.uid(pod), volume)
            claim = volume.get("persistentVolumeClaim") or {}
            sub = mount.get("subPath") or expand(mount.get("subPathExpr") or "", environment)
            if sub:
                path = _sub_path(path, sub)
            target = mount["mountPath"]
            entry: Config = {
                "container_path": target if target.startswith("/") else f"/{target}",
                "host_path": str(path),
                # What is made of API data is the kubelet's to write: links put there would lead it astray.
                "readonly": bool(
                    mount.get("readOnly") or claim.get("readOnly") or any(kind in volume for kind in payload.KINDS)
                ),
            }
            if propagation := _PROPAGATION.get(mount.get("mountPropagation") or ""):
                entry["propagation"] = propagation
            found.append(entry)
        taken = {entry["container_path"].rstrip("/") for entry in found}
        if "/etc/hosts" not in taken:
            found.append({"container_path": "/etc/hosts", "host_path": str(self._hosts_file(pod, ips))})
        if termination_path not in taken:
            found.append({"container_path": termination_path, "host_path": str(termination)})
        return found

    def _hosts_file(self, pod: Object, ips: Sequence[str]) -> Path:
        path = self._settings.pods_dir / meta.uid(pod) / "etc-hosts"
        host = Path("/etc/hosts").read_text() if pod["spec"].get("hostNetwork") else ""
        path.write_text(dns.hosts_file(pod, ips, host, self._settings.cluster_domain))
        path.chmod(0o644)
        return path

    # -- the end

    async def finished(self, container: Container) -> str:
        file = container.annotations.get(TERMINATION_FILE)
        text = ""
        if file:
            try:
                text = _beginning(Path(file), MESSAGE_LIMIT).decode(errors="replace")
            except OSError:  # torn down already
                text = ""
        policy = container.annotations.get(TERMINATION_POLICY)
        if not text and policy == "FallbackToLogsOnError" and container.exit_code and container.log_path:
            text = tail_of(Path(container.log_path), LOG_MESSAGE_LINES, LOG_MESSAGE_LIMIT)
        return text or container.message

    def forget(self, container: Container) -> None:
        if file := container.annotations.get(TERMINATION_FILE):
            Path(file).unlink(missing_ok=True)
        if container.log_path:
            path = Path(container.log_path)
            for log in (path, *path.parent.glob(f"{path.name}.*")):
                log.unlink(missing_ok=True)

    async def teardown(self, uid: str, *, keep_logs: bool = False) -> None:
        self._objects.release(f"{uid}/env")
        self._cgroups.remove(uid)
        if self._burstable.pop(uid, None) is not None:
            self._share_out()
        await self._volumes.teardown(uid)
        if self._cgroups.exists(uid):  # somebody in it is still ending: ``left_behind`` has to remember the Pod
            (self._settings.pods_dir / uid).mkdir(exist_ok=True, mode=0o755)
        if not keep_logs:
            for directory in self._settings.logs_dir.glob(f"*_{uid}"):
                await asyncio.to_thread(shutil.rmtree, directory, ignore_errors=True)

    async def left_behind(self) -> list[str]:
        try:
            return [entry.name for entry in self._settings.pods_dir.iterdir()]
        except FileNotFoundError:
            return []


def _beginning(file: Path, limit: int) -> bytes:
    """What a container has written may be of any length."""
    with file.open("rb") as opened:
        return opened.read(limit)


def _target(spec: Object, state: PodState) -> str:
    """The container whose processes an ephemeral one shares. Raises StartFailure."""
    name = spec.get("targetContainerName")
    if not name:
        return ""
    container = state.newest(name)
    if container is None or container.state != RUNNING:
        raise env.config_error(f"unable to find target container {name}")
    return container.id


def _sub_path(volume: Path, sub: str) -> Path:
    """A path inside a volume, made if it is not there; links may not lead out of it. Raises StartFailure."""
    root = volume.resolve()
    path = (volume / sub).resolve()
    if path != root and root not in path.parents:
        message = f"subPath {sub!r} leads out of its volume"
        raise StartFailure("CreateContainerConfigError", message, event="Failed", event_message=f"Error: {message}")
    if not path.exists():
        path.mkdir(parents=True, mode=0o750)
    return path


def _port_mappings(pod: Object) -> list[Config]:
    if pod["spec"].get("hostNetwork"):
        return []
    return [
        {
            "protocol": port.get("protocol") or "TCP",
            "container_port": port["containerPort"],
            "host_port": port["hostPort"],
            "host_ip": port.get("hostIP") or "",
        }
        for spec in [*(pod["spec"].get("initContainers") or ()), *pod["spec"]["containers"]]
        for port in spec.get("ports") or ()
        if port.get("hostPort")
    ]
