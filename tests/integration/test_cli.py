"""The command line as people and scripts meet it: progress, exit codes, one line for every error."""

from __future__ import annotations

import json
import os
import re
import signal
import socket
import subprocess
from collections.abc import Iterator
from pathlib import Path

import pytest
from tests.clusters import PATIENCE, PINNACE, Cluster, pinnace

from pinnace.cluster.errors import Exit

Done = subprocess.CompletedProcess[str]


@pytest.fixture
def own(tmp_path: Path) -> Iterator[Cluster]:
    """A cluster that is not started yet; stopped at the end if it was."""
    cluster = Cluster(tmp_path)
    yield cluster
    cluster.stop_if_running()


def refused(done: Done, exit: Exit) -> str:
    """The one line of the error."""
    assert done.returncode == exit, done.stdout + done.stderr
    assert done.stderr.startswith("pinnace: "), done.stderr
    assert done.stderr.count("\n") == 1, done.stderr
    return done.stderr.removeprefix("pinnace: ").rstrip()


# -- a cluster's life


def test_life(own: Cluster) -> None:
    up = own.try_up()
    assert up.returncode == 0, up.stderr
    assert up.stderr == ""
    for part in ("apiserver", "controllers", "scheduler"):
        assert re.search(rf"^  {part} +started in \d+\.\d\d s$", up.stdout, re.MULTILINE)
    reach = rf"^Ready in \d+\.\d\d s: https://127.0.0.1:\d+, context 'pinnace' in {re.escape(str(own.kubeconfig))}$"
    assert re.search(reach, up.stdout, re.MULTILINE)
    assert own.kubectl()("config", "current-context") == "pinnace\n"
    assert " Ready " in own.kubectl()("get", "nodes")

    status = pinnace("status", "--data-dir", str(own.data_dir))
    assert status.returncode == 0
    assert re.search(r"^cluster +running, since \d+ seconds? \(process \d+\)$", status.stdout, re.MULTILINE)
    assert re.search(r"^nodes +1 of 1 ready$", status.stdout, re.MULTILINE)
    facts = json.loads(pinnace("status", "--data-dir", str(own.data_dir), "-o", "json").stdout)
    assert (facts["running"], facts["ready"], facts["runtime"]) == (True, True, "simulated")
    assert facts["nodes"] == {"total": 1, "ready": 1}

    down = pinnace("down", "--data-dir", str(own.data_dir))
    assert (down.returncode, down.stdout, down.stderr) == (0, "stopped\n", "")
    status = pinnace("status", "--data-dir", str(own.data_dir))
    assert status.returncode == Exit.NOT_RUNNING
    assert status.stdout == f"not running (data directory {own.data_dir}); start it: pinnace up\n"
    facts = json.loads(pinnace("status", "--data-dir", str(own.data_dir), "-o", "json").stdout)
    assert (facts["running"], facts["ready"]) == (False, False)
    assert "no cluster is running on" in refused(pinnace("down", "--data-dir", str(own.data_dir)), Exit.NOT_RUNNING)


def test_what_was_made_is_there_again(own: Cluster) -> None:
    own.up()
    own.kubectl()("create", "configmap", "kept", "--from-literal=a=1")
    before = own.kubectl()("get", "cm", "kept", "-o", "yaml")
    own.down()
    own.up()
    assert own.kubectl()("get", "cm", "kept", "-o", "yaml") == before
    own.kubectl()("wait", "--for=condition=Ready", "node/simulated-0", "--timeout=20s")


def test_purge_leaves_nothing(own: Cluster) -> None:
    own.kubeconfig.write_text("apiVersion: v1\nkind: Config\ncontexts: [{name: work, context: {cluster: w}}]\n")
    own.up("--parts", "apiserver")
    own.down("--purge")
    assert not own.data_dir.exists()
    config = json.loads(own.kubectl()("config", "view", "-o", "json"))
    assert [context["name"] for context in config["contexts"]] == ["work"]
    assert config["clusters"] in (None, [])


def test_purge_of_one_that_is_not_running(own: Cluster) -> None:
    own.up("--parts", "apiserver")
    own.down()
    purged = pinnace("down", "--purge", "--data-dir", str(own.data_dir))
    assert (purged.returncode, purged.stdout) == (0, f"removed {own.data_dir}\n")
    assert not own.data_dir.exists()


def test_parts(own: Cluster) -> None:
    up = own.try_up("--parts", "apiserver")
    assert up.returncode == 0
    assert "scheduler" not in up.stdout
    assert own.kubectl()("get", "nodes", "-o", "name") == ""
    status = pinnace("status", "--data-dir", str(own.data_dir)).stdout
    assert re.search(r"^parts +apiserver$", status, re.MULTILINE)


def test_many_simulated_nodes_in_memory(own: Cluster) -> None:
    own.up("--simulated-nodes", "20", "--store", "memory://")
    own.kubectl()("wait", "--for=condition=Ready", "node", "--all", "--timeout=20s")
    assert len(own.kubectl()("get", "nodes", "-o", "name").split()) == 20
    assert not list(own.data_dir.glob("store/*"))


@pytest.mark.parametrize("number", [signal.SIGTERM, signal.SIGINT])
def test_foreground(own: Cluster, number: signal.Signals) -> None:
    """Shows progress and how to reach it; a signal ends it cleanly."""
    command = [
        *(str(PINNACE), "up", "--data-dir", str(own.data_dir), "--listen", "127.0.0.1:0"),
        *("--kubeconfig", str(own.kubeconfig), "--runtime", "simulated"),
    ]
    with subprocess.Popen(command, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True) as process:
        assert process.stdout is not None
        lines = []
        try:
            for line in process.stdout:
                lines.append(line.rstrip())
                if line.startswith("Try:"):
                    break
            assert lines[-1] == "Try: kubectl get nodes"
            own.kubectl()("get", "nodes")
            process.send_signal(number)
            output, errors = process.communicate(timeout=PATIENCE)
        finally:
            process.kill()
    assert (process.returncode, output, errors) == (0, "stopping\n", "")
    assert any(line.startswith("  apiserver ") for line in lines)


def test_stop_while_starting(own: Cluster) -> None:
    command = [
        *(str(PINNACE), "up", "--data-dir", str(own.data_dir), "--listen", "127.0.0.1:0"),
        *("--kubeconfig", str(own.kubeconfig), "--runtime", "simulated"),
    ]
    with subprocess.Popen(command, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True) as process:
        assert process.stdout is not None
        try:
            process.stdout.readline()
            process.send_signal(signal.SIGTERM)
            _, errors = process.communicate(timeout=PATIENCE)
        finally:
            process.kill()
    assert (process.returncode, errors) == (0, "")
    own.up()


@pytest.mark.parametrize("closed", ["<&-", ">&-", "<&- >&- 2>&-"])
def test_without_standard_streams(own: Cluster, closed: str) -> None:
    """As some services start their commands: what is opened in their place is the cluster's lock, for one."""
    command = [
        *(str(PINNACE), "up", "--detach", "--data-dir", str(own.data_dir), "--listen", "127.0.0.1:0"),
        *("--kubeconfig", str(own.kubeconfig), "--runtime", "simulated", "--parts", "apiserver"),
    ]
    shell = ["sh", "-c", f'exec "$@" {closed}', "sh", *command]
    assert subprocess.run(shell, capture_output=True, timeout=60, check=False).returncode == 0
    assert "running" in pinnace("status", "--data-dir", str(own.data_dir)).stdout
    second = own.try_up()
    assert (second.returncode, "is in use by another Pinnace" in second.stderr) == (11, True)


def test_version_and_help() -> None:
    version = pinnace("version")
    assert re.fullmatch(r"pinnace \d+\.\d+\.\d+ \(Kubernetes v1\.37\.\d+, Python [\d.]+\)\n", version.stdout)
    shown = pinnace("--help")
    assert shown.returncode == 0
    for verb in ("up", "status", "down", "image", "version"):
        assert re.search(rf"^    {verb} ", shown.stdout, re.MULTILINE)


# -- what goes wrong


def test_port_taken(own: Cluster) -> None:
    with socket.create_server(("127.0.0.1", 0)) as taken:
        listen = f"127.0.0.1:{taken.getsockname()[1]}"
        for detach in ([], ["--detach"]):
            done = pinnace(
                *("up", "--data-dir", str(own.data_dir), "--listen", listen, "--kubeconfig", str(own.kubeconfig)),
                *("--runtime", "simulated", *detach),
            )
            expected = f"{listen} is taken by another process; choose another with --listen (port 0: any free)"
            assert refused(done, Exit.PORT_TAKEN) == expected
    assert not own.kubeconfig.exists()
    own.up("--parts", "apiserver")


def test_data_directory_in_use(own: Cluster) -> None:
    own.up("--parts", "apiserver")
    said = refused(own.try_up(), Exit.DATA_IN_USE)
    assert f"{own.data_dir} is in use by another Pinnace (process {own.facts['pid']}, {own.server})" in said
    own.kubectl()("get", "namespaces")


def test_data_from_a_newer_version(own: Cluster) -> None:
    own.data_dir.mkdir()
    (own.data_dir / "format").write_text("99\n")
    assert "is from a newer Pinnace (data version 99, this one knows 1)" in refused(own.try_up(), Exit.DATA_NEWER)
    assert (own.data_dir / "format").read_text() == "99\n"


@pytest.mark.parametrize("content", [b"not a database at all" * 500, b"", b"SQLite format 3\0" + b"\xff" * 9000])
def test_garbage_in_place_of_the_database(own: Cluster, content: bytes) -> None:
    (own.data_dir / "store").mkdir(parents=True)
    database = own.data_dir / "store" / "cluster.db"
    database.write_bytes(content)
    done = own.try_up("--parts", "apiserver")
    if not content:  # what a crash at the very first moment leaves
        assert done.returncode == 0, done.stderr
        return
    said = refused(done, Exit.DATA_DAMAGED)
    assert said.startswith(f"{database} is damaged (")
    assert database.read_bytes() == content


@pytest.mark.parametrize("kept", [0.2, 0.5, 0.9])
def test_half_written_database(own: Cluster, kept: float) -> None:
    own.up("--parts", "apiserver")
    for number in range(20):
        body = {"metadata": {"name": f"c{number}"}, "data": {"a": "x" * 5000}}
        assert own.api()("POST", "/api/v1/namespaces/default/configmaps", body).status == 201
    own.down()
    database = own.data_dir / "store" / "cluster.db"
    whole = database.read_bytes()
    half = whole[: int(len(whole) * kept)]
    database.write_bytes(half)
    said = refused(own.try_up("--parts", "apiserver"), Exit.DATA_DAMAGED)
    assert said.startswith(f"{database} is damaged (")
    database.write_bytes(whole)
    own.up("--parts", "apiserver")
    assert own.api()("GET", "/api/v1/namespaces/default/configmaps/c19").status == 200


def test_unparsable_kubeconfig(own: Cluster) -> None:
    own.kubeconfig.write_text("clusters: [")
    said = refused(own.try_up("--parts", "apiserver"), Exit.ERROR)
    assert said.startswith(f"{own.kubeconfig} is no kubeconfig (")
    assert said.endswith("and was left alone; repair it or choose another: --kubeconfig")
    assert own.kubeconfig.read_text() == "clusters: ["


@pytest.mark.parametrize(
    ("arguments", "part"),
    [
        (["--parts", "apiserver,kubelets"], "unknown part kubelets; the parts are apiserver, controllers, scheduler"),
        (["--parts", "scheduler"], "apiserver is needed"),
        (["--listen", "somewhere"], "expected HOST:PORT"),
        (["--listen", "127.0.0.1:99999"], "a port from 0 to 65535"),
        (["--listen", "192.0.2.1:0"], "choose an address of this machine"),
        (["--timeout", "soon"], "expected something like 90s"),
        (["--simulated-nodes", "-1"], "expected a number from 0"),
        (["--store", "redis://x"], "expected sqlite:///PATH"),
    ],
)
def test_wrong_choices(own: Cluster, arguments: list[str], part: str) -> None:
    base = ("up", "--data-dir", str(own.data_dir), "--kubeconfig", str(own.kubeconfig), "--runtime", "simulated")
    listen = () if "--listen" in arguments else ("--listen", "127.0.0.1:0")
    assert part in refused(pinnace(*base, *listen, *arguments), Exit.USAGE)


def test_wrong_command_line() -> None:
    for arguments in ([], ["launch"], ["up", "--bogus"], ["image"], ["up", "--runtime", "docker"]):
        done = pinnace(*arguments)
        assert done.returncode == Exit.USAGE
        assert "usage: pinnace" in done.stderr


def test_too_slow(own: Cluster) -> None:
    said = refused(own.try_up("--timeout", "1ms"), Exit.TIMED_OUT)
    assert re.match(r"not ready after 0.001 s; waited for ", said)
    own.up("--parts", "apiserver")


def test_image_load(own: Cluster, tmp_path: Path) -> None:
    where = ("--data-dir", str(own.data_dir))
    image = tmp_path / "image.tar"
    image.write_bytes(b"this is no tarball")
    assert "no cluster is running on" in refused(pinnace("image", "load", str(image), *where), Exit.NOT_RUNNING)
    own.up()
    assert str(image) in refused(pinnace("image", "load", str(image), *where), Exit.IMAGE_REFUSED)
    absent = tmp_path / "absent.tar"
    assert str(absent) in refused(pinnace("image", "load", str(absent), *where), Exit.IMAGE_REFUSED)


# -- without root


def as_another(*arguments: str, home: Path) -> Done:
    """``pinnace`` by a user who is not root. As root: in a user namespace of its own, where it is nobody."""
    prefix = ["unshare", "--user"] if os.geteuid() == 0 else []
    environment = {**os.environ, "HOME": str(home)}
    environment.pop("KUBECONFIG", None)
    environment.pop("XDG_STATE_HOME", None)
    return subprocess.run(
        [*prefix, str(PINNACE), *arguments],
        capture_output=True,
        text=True,
        timeout=60,
        env=environment,
        stdin=subprocess.DEVNULL,
        check=False,
    )


def test_without_root_it_is_simulated_and_says_so(tmp_path: Path) -> None:
    """With nothing but defaults (and a free port): data below ~/.local/state, the kubeconfig where kubectl looks."""
    up = as_another("up", "--detach", "--listen", "127.0.0.1:0", home=tmp_path)
    try:
        assert up.returncode == 0, up.stderr
        (line,) = (line for line in up.stdout.splitlines() if "simulated:" in line)
        assert "the node is simulated: its Pods run no processes" in line
        assert re.search(r"for a real node: be root(, install .+ \(hack/install-components\))?$", line)
        status = as_another("status", home=tmp_path)
        assert status.returncode == 0
        assert re.search(r"^runtime +simulated$", status.stdout, re.MULTILINE)
        assert (tmp_path / ".local/state/pinnace/run.json").exists()
        assert 'current-context: "pinnace"' in (tmp_path / ".kube/config").read_text()
    finally:
        down = as_another("down", "--purge", home=tmp_path)
    assert down.returncode == 0, down.stderr
    assert list((tmp_path / ".local/state").iterdir()) == []


def test_without_root_a_real_node_is_refused(tmp_path: Path) -> None:
    done = as_another("up", "--runtime", "containerd", "--listen", "127.0.0.1:0", home=tmp_path)
    assert refused(done, Exit.NOT_PERMITTED).startswith("--runtime containerd: this machine cannot yet: be root")
    assert not (tmp_path / ".kube/config").exists()  # or kubectl would be led to a cluster that did not start


def test_not_permitted(tmp_path: Path) -> None:
    foreign = tmp_path / "foreign"
    foreign.mkdir(mode=0o000)
    listen = ("--listen", "127.0.0.1:0")
    data = ("--data-dir", str(foreign / "data"))
    expected = f"cannot use the data directory {foreign / 'data'}: Permission denied; choose one: --data-dir"
    assert refused(as_another("up", *listen, *data, home=tmp_path), Exit.NOT_PERMITTED) == expected
    for verb in ("status", "down"):
        assert "belongs to another user" in refused(as_another(verb, *data, home=tmp_path), Exit.NOT_PERMITTED)
    own = ("--data-dir", str(tmp_path / "own"), "--runtime", "simulated")
    kubeconfig = ("--kubeconfig", str(foreign / "config"))
    said = refused(as_another("up", *listen, *own, *kubeconfig, home=tmp_path), Exit.NOT_PERMITTED)
    assert said == f"cannot read the kubeconfig {foreign / 'config'}: Permission denied; choose another: --kubeconfig"
    privileged = as_another("up", "--listen", "127.0.0.1:80", *own, home=tmp_path)
    assert "not permitted to listen on 127.0.0.1:80; ports below 1024 need root" in refused(
        privileged, Exit.NOT_PERMITTED
    )


def test_without_real_pods_the_kubernetes_service_leads_to_where_the_api_server_listens(own: Cluster) -> None:
    own.up("--parts", "apiserver")
    host, _, port = own.server.removeprefix("https://").rpartition(":")
    endpoints = own.api()("GET", "/api/v1/namespaces/default/endpoints/kubernetes").json["subsets"]
    assert [(subset["addresses"][0]["ip"], subset["ports"][0]["port"]) for subset in endpoints] == [(host, int(port))]
