"""Images for tests, built from Debian's static busybox and from installed binaries with their libraries."""

from __future__ import annotations

import hashlib
import io
import json
import os
import platform
import re
import subprocess
import tarfile
from collections.abc import Iterable, Mapping, Sequence
from pathlib import Path
from typing import Any

BUSYBOX = Path("/bin/busybox")
_ARCHITECTURE = {"x86_64": "amd64", "aarch64": "arm64"}


class Layer:
    """One image layer in the making."""

    def __init__(self) -> None:
        self._buffer = io.BytesIO()
        self._archive = tarfile.open(fileobj=self._buffer, mode="w")  # noqa: SIM115 - closed by ``content``
        self._there: set[str] = set()

    def directory(self, name: str, mode: int = 0o755) -> None:
        if name in self._there:
            return
        self._there.add(name)
        info = tarfile.TarInfo(name)
        info.type, info.mode = tarfile.DIRTYPE, mode
        self._archive.addfile(info)

    def file(self, name: str, content: bytes, mode: int = 0o644) -> None:
        self._parents(name)
        info = tarfile.TarInfo(name)
        info.size, info.mode = len(content), mode
        self._archive.addfile(info, io.BytesIO(content))

    def link(self, name: str, target: str) -> None:
        self._parents(name)
        info = tarfile.TarInfo(name)
        info.type, info.linkname = tarfile.SYMTYPE, target
        self._archive.addfile(info)

    def _parents(self, name: str) -> None:
        for parent in reversed(Path(name).parents):
            if str(parent) != ".":
                self.directory(str(parent))

    def binary(self, path: Path) -> None:
        """An installed program at the same path, with the libraries that it needs."""
        self.file(str(path).lstrip("/"), path.read_bytes(), 0o755)
        listed = subprocess.run(["ldd", str(path)], capture_output=True, text=True, check=True).stdout
        for library in sorted(set(re.findall(r"(/\S+)", listed))):
            if library.lstrip("/") not in self._there:
                self._there.add(library.lstrip("/"))
                self.file(library.lstrip("/"), Path(os.path.realpath(library)).read_bytes(), 0o755)

    def content(self) -> bytes:
        self._archive.close()
        return self._buffer.getvalue()


def oci_archive(target: Path, names: Sequence[str], layer: bytes, config: Mapping[str, Any]) -> Path:
    """An OCI layout as a tar file, with one image of one layer under ``names``."""
    machine = _ARCHITECTURE[platform.machine()]
    files: dict[str, bytes] = {"oci-layout": b'{"imageLayoutVersion":"1.0.0"}'}

    def blob(content: bytes, media_type: str) -> dict[str, Any]:
        digest = hashlib.sha256(content).hexdigest()
        files[f"blobs/sha256/{digest}"] = content
        return {"mediaType": media_type, "digest": f"sha256:{digest}", "size": len(content)}

    image = {
        "architecture": machine,
        "os": "linux",
        "config": dict(config),
        "rootfs": {"type": "layers", "diff_ids": [f"sha256:{hashlib.sha256(layer).hexdigest()}"]},
    }
    manifest = {
        "schemaVersion": 2,
        "mediaType": "application/vnd.oci.image.manifest.v1+json",
        "config": blob(json.dumps(image).encode(), "application/vnd.oci.image.config.v1+json"),
        "layers": [blob(layer, "application/vnd.oci.image.layer.v1.tar")],
    }
    entry = blob(json.dumps(manifest).encode(), "application/vnd.oci.image.manifest.v1+json")
    entries = [{**entry, "annotations": {"io.containerd.image.name": name}} for name in names]
    files["index.json"] = json.dumps({"schemaVersion": 2, "manifests": entries}).encode()
    _pack(target, files)
    return target


def docker_archive(target: Path, names: Sequence[str], layer: bytes, config: Mapping[str, Any]) -> Path:
    """What ``docker save`` writes, with one image of one layer under ``names``."""
    image = {
        "architecture": _ARCHITECTURE[platform.machine()],
        "os": "linux",
        "config": dict(config),
        "rootfs": {"type": "layers", "diff_ids": [f"sha256:{hashlib.sha256(layer).hexdigest()}"]},
    }
    content = json.dumps(image).encode()
    file = f"{hashlib.sha256(content).hexdigest()}.json"
    manifest = [{"Config": file, "RepoTags": list(names), "Layers": ["layer.tar"]}]
    _pack(target, {file: content, "layer.tar": layer, "manifest.json": json.dumps(manifest).encode()})
    return target


def _pack(target: Path, files: Mapping[str, bytes]) -> None:
    with tarfile.open(target, "w") as archive:
        for name, content in files.items():
            info = tarfile.TarInfo(name)
            info.size, info.mode = len(content), 0o644
            archive.addfile(info, io.BytesIO(content))


def base_layer() -> Layer:
    """busybox under all its names, users, and the directories that programs expect."""
    layer = Layer()
    layer.file("bin/busybox", BUSYBOX.read_bytes(), 0o755)
    applets = subprocess.run([str(BUSYBOX), "--list"], capture_output=True, text=True, check=True).stdout.split()
    for applet in applets:
        if applet != "busybox":
            layer.link(f"bin/{applet}", "/bin/busybox")
    layer.file("etc/passwd", b"root:x:0:0:root:/root:/bin/sh\nnobody:x:65534:65534:nobody:/:/bin/false\n")
    layer.file("etc/group", b"root:x:0:\nnogroup:x:65534:\n")
    layer.directory("tmp", 0o1777)
    for name in ("root", "var", "var/tmp", "usr", "usr/bin"):
        layer.directory(name)
    return layer


def busybox(directory: Path, names: Iterable[str] = ("docker.io/library/busybox:latest",)) -> Path:
    config = {"Cmd": ["sh"], "Env": ["PATH=/bin:/usr/bin:/sbin:/usr/sbin"]}
    return oci_archive(directory / "busybox.tar", list(names), base_layer().content(), config)


_NGINX_CONF = b"""\
daemon off;
user root;
error_log /dev/stderr notice;
pid /run/nginx.pid;
events {}
http {
  access_log /var/log/nginx/access.log;
  include /etc/nginx/conf.d/*.conf;
}
"""
_NGINX_DEFAULT = b"""\
server {
  listen 80;
  root /usr/share/nginx/html;
}
"""


def nginx(directory: Path, tag: str = "latest", page: str = "Welcome to nginx!") -> Path:
    """Debian's nginx, serving ``page``."""
    layer = base_layer()
    layer.binary(Path("/usr/sbin/nginx"))
    layer.file("etc/nginx/nginx.conf", _NGINX_CONF)
    layer.file("etc/nginx/conf.d/default.conf", _NGINX_DEFAULT)
    layer.link("var/log/nginx/access.log", "/dev/stdout")
    layer.file("usr/share/nginx/html/index.html", f"<h1>{page}</h1>\n".encode())
    for name in ("run", "var/lib/nginx"):
        layer.directory(name)
    config = {"Cmd": ["/usr/sbin/nginx", "-c", "/etc/nginx/nginx.conf"], "Env": ["PATH=/bin:/usr/bin:/sbin:/usr/sbin"]}
    return oci_archive(directory / f"nginx-{tag}.tar", [f"docker.io/library/nginx:{tag}"], layer.content(), config)


_LOG_AGENT = """\
for argument; do
  case $argument in --log-file=*) file=${argument#*=};; esac
done
if [ "$file" ]; then tail -n +1 -F "$file" & else sleep 100000 & fi
"""
_APP = """\
echo started with "${*:-nothing}"
env | grep ^D | sort
sleep 100000 &
"""
_SERVER = "mkdir /www; echo 'node_load1 0.21' >/www/metrics; httpd -f -p {port} -h /www &\n"


def seeds(directory: Path) -> list[Path]:
    """What the seeds' manifests name besides busybox, nginx and perl, played by shell scripts that end when told to."""
    scripts = {
        "docker.io/library/fluentd:latest": _LOG_AGENT,
        "docker.io/library/my-app-image:latest": _APP,
        "docker.io/prom/node-exporter:latest": _SERVER.format(port=9100),
        "docker.io/istio/proxyv2:latest": _SERVER.format(port=15001),
        "docker.io/calico/node:latest": "sleep 100000 &\n",
    }
    found: list[Path] = []
    for name, script in scripts.items():
        layer = base_layer()
        layer.file("srv/app", f"#!/bin/sh\ntrap 'exit 0' TERM\n{script}wait\n".encode(), 0o755)
        config = {"Entrypoint": ["./app"], "WorkingDir": "/srv", "Env": ["PATH=/bin:/usr/bin:/sbin:/usr/sbin"]}
        target = directory / f"{name.replace('/', '-').replace(':', '-')}.tar"
        found.append(oci_archive(target, [name], layer.content(), config))
    return found


#: Debian's own ``bignum`` fails at 2,000 digits of pi; this one has nothing but ``bpi``.
_BIGNUM = rb"""package bignum;

sub import { *{caller() . '::bpi'} = \&bpi }

sub bpi {
    my ($carry, $digits, @rest) = (0, '', (2000) x 7001);
    for (my $count = 14 * int($_[0] / 4); $count > 0; $count -= 14) {
        my $sum = 0;
        for (my $at = $count; $at > 0; $at--) {
            $sum = $sum * $at + $rest[$at] * 10000;
            $rest[$at] = $sum % (2 * $at - 1);
            $sum = int($sum / (2 * $at - 1));
        }
        $digits .= sprintf '%04d', $carry + int($sum / 10000);
        $carry = $sum % 10000;
    }
    return substr($digits, 0, 1) . '.' . substr $digits, 1;
}

1;
"""


def perl(directory: Path) -> Path:
    """Debian's perl, with which pi can be computed."""
    layer = base_layer()
    layer.binary(Path("/usr/bin/perl"))
    layer.file("etc/perl/bignum.pm", _BIGNUM)
    config = {"Cmd": ["perl"], "Env": ["PATH=/bin:/usr/bin:/sbin:/usr/sbin"]}
    return oci_archive(directory / "perl.tar", ["docker.io/library/perl:latest"], layer.content(), config)
