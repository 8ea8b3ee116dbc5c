"""Which OCI runtime makes containers for containerd.

crun, where it is installed and works: it is C and takes a fifth of the CPU time of runc, which starts itself anew three
times for each container. Else runc, containerd's own choice.

crun refuses a machine that has the first version of the cgroup hierarchy in use and a controller in the second one too,
even one that nobody uses. It works there once it cannot see the second: a small program, made here, takes that out of
sight and becomes crun. It is an ELF file of four system calls, written as bytes.
"""

from __future__ import annotations

import asyncio
import logging
import os
import shutil
from dataclasses import dataclass
from pathlib import Path

from pinnace.core import elf

log = logging.getLogger(__name__)

#: What a Node says of it.
ANNOTATION = "pinnace.dev/oci-runtime"
_CGROUPS = Path("/sys/fs/cgroup")
#: Where the code refers to the strings behind it, and to which: the hierarchies' directory, the second one, crun.
_REFERENCES = {0x1B: 0, 0x22: 0, 0x3F: 1, 0x56: 2}
_CODE = bytes.fromhex(
    "4989e4"  # mov r12, rsp
    "b810010000"  # mov eax, 272        unshare
    "bf00000200"  # mov edi, 0x20000    CLONE_NEWNS
    "0f05"  # syscall
    "85c0"  # test eax, eax
    "7557"  # jnz the end
    "b8a5000000"  # mov eax, 165        mount
    "488d3d00000000"  # lea rdi, [directory]
    "488d3500000000"  # lea rsi, [directory]
    "31d2"  # xor edx, edx
    "41ba00000400"  # mov r10d, 0x40000 MS_PRIVATE: others keep what is taken away here
    "4531c0"  # xor r8d, r8d
    "0f05"  # syscall
    "85c0"  # test eax, eax
    "7533"  # jnz the end
    "b8a6000000"  # mov eax, 166        umount2
    "488d3d00000000"  # lea rdi, [second]
    "be02000000"  # mov esi, 2          MNT_DETACH
    "0f05"  # syscall
    "85c0"  # test eax, eax
    "751c"  # jnz the end
    "b83b000000"  # mov eax, 59         execve
    "488d3d00000000"  # lea rdi, [crun]
    "498d742408"  # lea rsi, [r12 + 8]
    "498b0c24"  # mov rcx, [r12]
    "498d54cc10"  # lea rdx, [r12 + rcx * 8 + 16]
    "0f05"  # syscall
    "bf7f000000"  # mov edi, 127        the end
    "b83c000000"  # mov eax, 60         exit
    "0f05"  # syscall
)


@dataclass(frozen=True, slots=True)
class OciRuntime:
    """``path`` is what containerd runs."""

    name: str
    path: str


async def choose(directory: Path, *, cgroups: Path = _CGROUPS) -> OciRuntime | None:
    """The best that works here, None if there is none. ``directory`` keeps what is made for it. Raises OSError."""
    if crun := shutil.which("crun"):
        if _has_both(cgroups):
            crun = str(_make(directory / "crun", without_unified(crun, cgroups)))
        if (why := await _fault(crun)) is None:
            return OciRuntime("crun", crun)
        log.warning("runc makes the containers: %s does not work here: %s", crun, why)
    runc = shutil.which("runc")
    return OciRuntime("runc", runc) if runc else None


def _make(path: Path, program: bytes) -> Path:
    if not path.exists() or path.read_bytes() != program:  # or somebody may be running it
        fresh = path.with_suffix(".new")
        fresh.write_bytes(program)
        fresh.chmod(0o755)
        os.replace(fresh, path)
    return path


def without_unified(program: str, cgroups: Path = _CGROUPS) -> bytes:
    """The program (for x86-64) that becomes ``program`` where the second version's hierarchy is out of sight."""
    data = [text.encode() + b"\0" for text in (str(cgroups), str(cgroups / "unified"), program)]
    return elf.program(elf.X86_64, elf.linked(_CODE, _REFERENCES, data))


def _has_both(cgroups: Path) -> bool:
    try:
        return bool((cgroups / "unified" / "cgroup.controllers").read_text().strip())
    except FileNotFoundError:
        return False


async def _fault(program: str) -> str | None:
    """Why it cannot be used, None if it can."""
    try:
        process = await asyncio.create_subprocess_exec(
            program,
            "--version",
            stdin=asyncio.subprocess.DEVNULL,
            stdout=asyncio.subprocess.DEVNULL,
            stderr=asyncio.subprocess.PIPE,
        )
    except OSError as error:  # another machine's program, or files there may not be run
        return str(error)
    _, errors = await process.communicate()
    if process.returncode:
        return f"exit code {process.returncode} {errors.decode(errors='replace').strip()}"
    return None
