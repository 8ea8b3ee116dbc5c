"""The CNI configuration on disk."""

from __future__ import annotations

import json
from pathlib import Path

from pinnace.network import cni


def test_the_configuration_is_written_once(tmp_path: Path) -> None:
    directory = tmp_path / "a" / "cni"
    cni.write(directory, pod_cidr="10.244.3.0/24", mtu=1450, ipam_dir=tmp_path / "ipam")
    (file,) = directory.iterdir()
    assert json.loads(file.read_text()) == {
        "cniVersion": "0.4.0",
        "name": "pinnace",
        "plugins": [
            {
                "type": "ptp",
                "mtu": 1450,
                "ipMasq": False,
                "ipam": {
                    "type": "host-local",
                    "dataDir": str(tmp_path / "ipam"),
                    "ranges": [[{"subnet": "10.244.3.0/24"}]],
                    "routes": [{"dst": "0.0.0.0/0"}],
                },
            },
        ],
    }
    inode = file.stat().st_ino
    cni.write(directory, pod_cidr="10.244.3.0/24", mtu=1450, ipam_dir=tmp_path / "ipam")
    assert file.stat().st_ino == inode, "left alone while it is right"
    cni.write(directory, pod_cidr="10.244.4.0/24", mtu=1450, ipam_dir=tmp_path / "ipam")
    (file,) = directory.iterdir()
    assert "10.244.4.0/24" in file.read_text()
