"""A private containerd: configured, started, watched, adopted and stopped.

Everything it has is under one directory. It outlives a kill of this process, and so do the containers; the next start
finds it by its pid file and goes on with it. If it dies it is started again (containers survive that too).
"""

from __future__ import annotations

import asyncio
import logging
import os
import shutil
import signal
from collections.abc import Sequence
from pathlib import Path

from pinnace.core.clock import Clock
from pinnace.core.supervisor import Tasks
from pinnace.kubelet import oci, pause
from pinnace.kubelet.volumes import mounts

log = logging.getLogger(__name__)

#: Seconds for containerd to answer, and to end when told.
PATIENCE = 20.0
LOG_LIMIT = 16 << 20
TAIL = 4096
_CAP_SYS_RESOURCE = 24

_CONFIG = """\
version = 2
root = "{root}/root"
state = "{state}/state"
[grpc]
  address = "{state}/containerd.sock"
[debug]
  level = "warn"
[plugins."io.containerd.internal.v1.opt"]
  path = "{root}/opt"
[plugins."io.containerd.grpc.v1.cri"]
  sandbox_image = "{pause}"
  restrict_oom_score_adj = {restricted}
  netns_mounts_under_state_dir = true
  stream_server_address = "127.0.0.1"
  stream_server_port = "0"
  max_concurrent_downloads = 3
  [plugins."io.containerd.grpc.v1.cri".cni]
    bin_dir = "{cni_bin}"
    conf_dir = "{cni_conf}"
  [plugins."io.containerd.grpc.v1.cri".registry]
    config_path = "{certs}"
"""
_OCI = """\
  [plugins."io.containerd.grpc.v1.cri".containerd.runtimes.runc]
    runtime_type = "io.containerd.runc.v2"
    [plugins."io.containerd.grpc.v1.cri".containerd.runtimes.runc.options]
      BinaryName = "{path}"
      Root = "{state}/oci"
"""


class ContainerdFailed(Exception):
    """containerd could not be started or used; the text ends with its last log lines."""


class Containerd:
    """``directory`` is its own; what does not outlive a boot is in ``state`` inside it, in memory. ``prefix`` is a
    command that runs it elsewhere (``nsenter --net=...``). ``runtime`` makes the containers, by default the best that
    works here."""

    def __init__(
        self,
        directory: Path,
        clock: Clock,
        *,
        cni_bin: Path,
        cni_conf: Path,
        binary: Path | None = None,
        prefix: Sequence[str] = (),
        registries: Path | None = None,
        runtime: oci.OciRuntime | None = None,
    ) -> None:
        self.directory = directory
        self.runtime = runtime
        self.cni_conf = cni_conf
        self.certs = registries or directory / "certs.d"
        self._clock = clock
        self._cni_bin = cni_bin
        self._binary = str(binary) if binary is not None else (shutil.which("containerd") or "containerd")
        self._prefix = list(prefix)
        self._tasks = Tasks("containerd", clock)
        self._process: asyncio.subprocess.Process | None = None
        self._pid = 0
        self._log_begin = 0

    @property
    def socket(self) -> Path:
        return self.directory / "containerd.sock"

    @property
    def state(self) -> Path:
        return self.directory / "state"

    @property
    def config_file(self) -> Path:
        return self.directory / "config.toml"

    @property
    def _pid_file(self) -> Path:
        return self.directory / "containerd.pid"

    @property
    def _log_file(self) -> Path:
        return self.directory / "containerd.log"

    async def start(self) -> None:
        """Return once it answers. Raises ContainerdFailed."""
        if len(str(self.socket)) > 100:
            raise ContainerdFailed(
                f"containerd failed: the path of its socket is too long ({self.socket}): use a shorter data directory"
            )
        try:
            self.directory.mkdir(parents=True, exist_ok=True, mode=0o700)
            self.runtime = self.runtime or await oci.choose(self.directory)
            self._write_config()
        except OSError as error:
            raise ContainerdFailed(f"containerd failed: cannot write its configuration: {error}") from error
        if not await self._adopt():
            try:
                self._mount_state()
                await self._launch()
            except OSError as error:
                raise ContainerdFailed(f"containerd failed: {error}") from error
            except ContainerdFailed:
                self._unmount_state()
                raise
        self._tasks.forever(self._watch, name="watch")

    def _write_config(self) -> None:
        for directory in (self.cni_conf, self.certs):
            directory.mkdir(parents=True, exist_ok=True, mode=0o700)
        text = _CONFIG.format(
            root=self.directory,
            state=self.directory,
            pause=pause.IMAGE,
            cni_bin=self._cni_bin,
            cni_conf=self.cni_conf,
            certs=self.certs,
            restricted="false" if _may_protect() else "true",
        )
        if self.runtime is not None:
            text += _OCI.format(path=self.runtime.path, state=self.state)
        self.config_file.write_text(text)

    def _mount_state(self) -> None:
        """Have the state in memory. Containers of an earlier version, which had it on the disk, find it there as long
        as they run. Raises OSError."""
        self.state.mkdir(exist_ok=True, mode=0o711)
        if not mounts.is_mount(self.state) and not self._has_containers():
            mounts.mount_tmpfs(self.state, mode=0o711)

    def _unmount_state(self) -> None:
        """Nothing is done while there are containers."""
        if mounts.is_mount(self.state) and not self._has_containers():
            for point in (*mounts.mounted_below(self.state), self.state):
                mounts.unmount(point)

    def _has_containers(self) -> bool:
        tasks = self.state / "io.containerd.runtime.v2.task" / "k8s.io"
        return tasks.is_dir() and any(tasks.iterdir())

    async def _adopt(self) -> bool:
        """Whether one that an earlier process left behind answers on the socket."""
        pid = self._recorded_pid()
        if not pid:
            return False
        if not await self._answers():
            log.warning("containerd (pid %d) is there but does not answer: starting it anew", pid)
            await self._end(pid)
            return False
        log.info("going on with the containerd that is running (pid %d)", pid)
        self._pid = pid
        return True

    def _recorded_pid(self) -> int:
        """The pid of a containerd with this directory's configuration, 0 if there is none."""
        try:
            pid = int(self._pid_file.read_text())
            command = Path(f"/proc/{pid}/cmdline").read_bytes()
        except (OSError, ValueError):  # none was started, or it is gone
            return 0
        return pid if str(self.config_file).encode() in command else 0

    async def _launch(self) -> None:
        if self._log_file.exists() and self._log_file.stat().st_size > LOG_LIMIT:
            self._log_file.unlink()
        command = [*self._prefix, self._binary, "--config", str(self.config_file)]
        try:
            with self._log_file.open("ab") as output:
                self._log_begin = output.tell()
                self._process = await asyncio.create_subprocess_exec(
                    *command,
                    stdin=asyncio.subprocess.DEVNULL,
                    stdout=output,
                    stderr=output,
                    start_new_session=True,
                )
        except OSError as error:
            raise ContainerdFailed(f"containerd failed: cannot run {command[0]}: {error}") from error
        self._pid = self._process.pid
        self._pid_file.write_text(str(self._pid))
        deadline = self._clock.monotonic() + PATIENCE
        while not await self._answers():
            if self._process.returncode is not None or self._clock.monotonic() > deadline:
                why = f"exit code {self._process.returncode}" if self._process.returncode is not None else "no answer"
                await self._end(self._pid)
                raise ContainerdFailed(f"containerd failed ({why}): {self.last_lines()}")
            await self._clock.sleep(0.02)

    def last_lines(self, count: int = 5) -> str:
        """The end of its log since it was started last."""
        try:
            with self._log_file.open("rb") as file:
                file.seek(max(self._log_begin, self._log_file.stat().st_size - TAIL))
                lines = file.read().decode(errors="replace").splitlines()
        except OSError as error:
            return f"its log cannot be read: {error}"
        return "\n".join(lines[-count:]) or "its log is empty"

    async def _answers(self) -> bool:
        try:
            _, writer = await asyncio.open_unix_connection(str(self.socket))
        except OSError:
            return False
        writer.close()
        return True

    async def _watch(self) -> None:
        while _alive(self._pid, self._process):
            await self._clock.sleep(0.25)
        log.error("containerd ended and is started again; its last lines: %s", self.last_lines())
        await self._launch()

    async def stop(self) -> None:
        """End containerd; containers go on."""
        await self._tasks.stop()
        pid = self._pid or self._recorded_pid()
        self._pid = 0
        if pid:
            await self._end(pid)
            self._unmount_state()
        self._process = None

    async def _end(self, pid: int) -> None:
        for number in (signal.SIGTERM, signal.SIGKILL):
            if not _alive(pid, self._process):
                break
            try:
                os.kill(pid, number)
            except ProcessLookupError:
                break
            deadline = self._clock.monotonic() + PATIENCE / 2
            while _alive(pid, self._process) and self._clock.monotonic() < deadline:
                await self._clock.sleep(0.02)
        if self._process is not None and self._process.pid == pid:
            await self._process.wait()
        self._pid_file.unlink(missing_ok=True)

    # -- images

    async def import_image(self, file: Path) -> list[str]:
        """Take in a docker-archive or an OCI layout; the names that it holds. Raises ContainerdFailed."""
        return await import_image(self.socket, file)

    async def import_pause(self) -> None:
        """Have the image that sandboxes run."""
        path = self.directory / "pause.tar"
        try:
            path.write_bytes(pause.image_archive())
        except (OSError, ValueError) as error:
            raise ContainerdFailed(f"containerd failed: no pause image: {error}") from error
        await self.import_image(path)


async def import_image(socket: Path, file: Path) -> list[str]:
    """As ``Containerd.import_image``, for any containerd's socket."""
    command = ["ctr", "--address", str(socket), "--namespace", "k8s.io", "images", "import", str(file)]
    try:
        process = await asyncio.create_subprocess_exec(
            *command, stdin=asyncio.subprocess.DEVNULL, stdout=asyncio.subprocess.PIPE, stderr=asyncio.subprocess.PIPE
        )
    except OSError as error:
        raise ContainerdFailed(f"cannot run ctr, containerd's own client: {error}") from error
    output, errors = await process.communicate()
    if process.returncode:
        *_, text = (errors or output).decode(errors="replace").strip().rpartition("ctr: ")
        raise ContainerdFailed(f"{file}: {text}")
    return [line.split()[1] for line in output.decode(errors="replace").splitlines() if line.startswith("unpacking ")]


def _may_protect() -> bool:
    """Whether this process may tell the kernel to spare others when memory runs out (CAP_SYS_RESOURCE)."""
    for line in Path("/proc/self/status").read_text().splitlines():
        if line.startswith("CapEff:"):
            return bool(int(line.split()[1], 16) >> _CAP_SYS_RESOURCE & 1)
    return False


def _alive(pid: int, process: asyncio.subprocess.Process | None) -> bool:
    if process is not None and process.pid == pid:
        return process.returncode is None
    try:
        os.kill(pid, 0)
    except ProcessLookupError:
        return False
    return True
