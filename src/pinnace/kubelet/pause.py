"""The image that sandboxes run, made here: no registry is needed to start a Pod.

Its one program waits for ever and, as the first process of a shared PID namespace, has the kernel reap orphans (by
ignoring SIGCHLD). It is a static ELF file of two system calls, written as bytes.
"""

from __future__ import annotations

import gzip
import hashlib
import io
import json
import platform
import struct
import tarfile

from pinnace.core import elf

IMAGE = "registry.k8s.io/pause:3.10"
_X86_64 = bytes.fromhex(
    "b80d000000"  # mov eax, 13        rt_sigaction
    "bf11000000"  # mov edi, 17        SIGCHLD
    "488d351a000000"  # lea rsi, [ignore]
    "31d2"  # xor edx, edx
    "41ba08000000"  # mov r10d, 8
    "0f05"  # syscall
    "b822000000"  # mov eax, 34        pause
    "0f05"  # syscall
    "ebf7"  # jmp to the pause
    "90909090909090"  # padding
)
_AARCH64 = struct.pack(
    "<16I",
    0xD2800220,  # mov x0, #17          SIGCHLD
    0x100001E1,  # adr x1, ignore
    0xD2800002,  # mov x2, #0
    0xD2800103,  # mov x3, #8
    0xD28010C8,  # mov x8, #134         rt_sigaction
    0xD4000001,  # svc #0
    0xD2800000,  # mov x0, #0           ppoll(NULL, 0, NULL, NULL)
    0xD2800001,  # mov x1, #0
    0xD2800002,  # mov x2, #0
    0xD2800003,  # mov x3, #0
    0xD2800004,  # mov x4, #0
    0xD2800928,  # mov x8, #73          ppoll
    0xD4000001,  # svc #0
    0x17FFFFF9,  # b to the ppoll
    0xD503201F,  # nop
    0xD503201F,  # nop
)
#: struct sigaction: SIG_IGN, no flags, no restorer, empty mask.
_IGNORE = struct.pack("<4Q", 1, 0, 0, 0)
_MACHINES = {"x86_64": (elf.X86_64, _X86_64, "amd64"), "aarch64": (elf.AARCH64, _AARCH64, "arm64")}


def program(machine: str) -> bytes:
    """The ELF file for ``x86_64`` or ``aarch64``. Raises ValueError for another machine."""
    if machine not in _MACHINES:
        raise ValueError(f"no pause program for {machine}: load an image named {IMAGE} yourself")
    number, code, _ = _MACHINES[machine]
    return elf.program(number, code + _IGNORE)


def image_archive(machine: str = platform.machine()) -> bytes:
    """An OCI layout as a tar file, holding ``IMAGE``."""
    layer = _tar({"pause": (program(machine), 0o755)})
    packed = gzip.compress(layer, mtime=0)
    config = {
        "architecture": _MACHINES[machine][2],
        "os": "linux",
        "config": {"Entrypoint": ["/pause"], "User": "65535:65535"},
        "rootfs": {"type": "layers", "diff_ids": [_digest(layer)]},
    }
    files: dict[str, tuple[bytes, int]] = {}

    def blob(content: bytes, media_type: str) -> dict[str, object]:
        digest = _digest(content)
        files[f"blobs/sha256/{digest.removeprefix('sha256:')}"] = content, 0o644
        return {"mediaType": media_type, "digest": digest, "size": len(content)}

    manifest = {
        "schemaVersion": 2,
        "mediaType": "application/vnd.oci.image.manifest.v1+json",
        "config": blob(json.dumps(config).encode(), "application/vnd.oci.image.config.v1+json"),
        "layers": [blob(packed, "application/vnd.oci.image.layer.v1.tar+gzip")],
    }
    entry = blob(json.dumps(manifest).encode(), "application/vnd.oci.image.manifest.v1+json")
    entry["annotations"] = {"io.containerd.image.name": IMAGE, "org.opencontainers.image.ref.name": "3.10"}
    files["index.json"] = json.dumps({"schemaVersion": 2, "manifests": [entry]}).encode(), 0o644
    files["oci-layout"] = b'{"imageLayoutVersion":"1.0.0"}', 0o644
    return _tar(files)


def _digest(content: bytes) -> str:
    return f"sha256:{hashlib.sha256(content).hexdigest()}"


def _tar(files: dict[str, tuple[bytes, int]]) -> bytes:
    buffer = io.BytesIO()
    with tarfile.open(fileobj=buffer, mode="w", format=tarfile.PAX_FORMAT) as archive:
        for name, (content, mode) in files.items():
            info = tarfile.TarInfo(name)
            info.size, info.mode = len(content), mode
            archive.addfile(info, io.BytesIO(content))
    return buffer.getvalue()
