"""What the etcd store makes of members killed, stopped and cut off, of other programs' writes, and of compactions."""

from __future__ import annotations

import asyncio
import shutil
import signal
from collections.abc import AsyncIterator, Callable, Iterator
from contextlib import asynccontextmanager
from pathlib import Path
from typing import Any

import pytest
from tests.etcd import Certificates, Etcd
from tests.ports import unused_ports

from pinnace.apiserver.resources import codec
from pinnace.core.clock import RealClock
from pinnace.store.backends import etcd_client, etcd_feed
from pinnace.store.backends.etcd_client import EtcdClient
from pinnace.store.backends.etcd_compaction import Compaction
from pinnace.store.backends.etcd_keys import Keys
from pinnace.store.backends.etcd_options import EtcdOptions
from pinnace.store.mvcc import View
from pinnace.store.open import open_store
from pinnace.store.protocol import (
    Committed,
    CompactedError,
    Compare,
    Delete,
    Event,
    OutcomeUnknownError,
    Put,
    Store,
    StoreError,
    Txn,
    UnavailableError,
)

Outcome = Committed | StoreError


@asynccontextmanager
async def opened(url: str, options: EtcdOptions) -> AsyncIterator[Store]:
    store = await open_store(url, stamp=lambda value, revision: value, clock=RealClock(), etcd=options)
    try:
        yield store
    finally:
        await store.close()


def using(etcd: Etcd, prefix: str = "/registry") -> Any:
    return opened(etcd.url, etcd.options(prefix, root=""))


async def eventually(condition: Callable[[], bool], what: str, patience: float = 20.0) -> None:
    deadline = asyncio.get_running_loop().time() + patience
    while not condition():
        assert asyncio.get_running_loop().time() < deadline, f"waited for {what}"
        await asyncio.sleep(0.02)  # between two looks at what other processes cause


async def synced(store: Store) -> int:
    """The revision once etcd, cut off for so long that nobody waits for it any more, was seen to answer again."""
    deadline = asyncio.get_running_loop().time() + 20.0
    while True:
        try:
            return await store.sync()
        except UnavailableError:
            assert asyncio.get_running_loop().time() < deadline
        await asyncio.sleep(0.02)


@pytest.fixture(autouse=True)
def patience(monkeypatch: pytest.MonkeyPatch) -> None:
    """A busy machine is no reason to write more than the test does."""
    monkeypatch.setattr(etcd_feed, "SILENCE", 5.0)


@pytest.fixture
def durable(tmp_path: Path) -> Iterator[Etcd]:
    made = Etcd(tmp_path / "etcd")
    yield made.start()
    made.stop()


@pytest.fixture
def fast(tmp_path: Path) -> Iterator[Etcd]:
    made = Etcd(tmp_path / "etcd", durable=False)
    yield made.start()
    made.stop()


@pytest.fixture
def three(tmp_path: Path) -> Iterator[Etcd]:
    made = Etcd(tmp_path / "etcd", members=3, tls=Certificates(tmp_path / "certs"))
    yield made.start()
    made.stop()


class Link:
    """A way to etcd that can be cut, and that can lose what etcd answers."""

    def __init__(self, etcd: Etcd) -> None:
        host, _, port = etcd.members[0].address.rpartition(":")
        self._to = (host, int(port))
        self._server: asyncio.Server | None = None
        self._ways: set[asyncio.StreamWriter] = set()
        (self._port,) = unused_ports(1)
        self.deaf = False  # answers are lost

    @property
    def url(self) -> str:
        return f"etcd://127.0.0.1:{self._port}"

    async def connect(self) -> Link:
        self._server = await asyncio.start_server(self._serve, "127.0.0.1", self._port)
        return self

    async def cut(self) -> None:
        assert self._server is not None
        self._server.close()
        for way in list(self._ways):
            way.close()
        await eventually(lambda: not self._ways, "the connections to end")

    async def _serve(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        there, back = await asyncio.open_connection(*self._to)
        await asyncio.gather(self._copy(reader, back, False), self._copy(there, writer, True))

    async def _copy(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter, answers: bool) -> None:
        self._ways.add(writer)
        try:
            while data := await reader.read(65536):
                if not (answers and self.deaf):
                    writer.write(data)
        except OSError:
            pass  # that is what being cut looks like
        finally:
            writer.close()
            self._ways.discard(writer)


@pytest.fixture
async def link(fast: Etcd) -> AsyncIterator[Link]:
    made = await Link(fast).connect()
    yield made
    await made.cut()


# -- load, and what must be true of it


class Load:
    """Clients that each add to one of a few counters, by compare-and-set, until they are told to stop."""

    def __init__(self, store: Store, clients: int = 16) -> None:
        self._store = store
        self._stopping = False
        #: By the value, unique, that was to be written.
        self.outcomes: dict[bytes, Outcome] = {}
        self._tasks = [asyncio.create_task(self._client(number)) for number in range(clients)]

    async def _client(self, number: int) -> None:
        key, count = f"/n/{number % 8}", 0
        while not self._stopping:
            item = self._store.get(key)
            count += 1
            value = b"%d.%d" % (number, count)
            txn = Txn([Compare(key, item.mod_revision if item else 0)], [Put(key, value)])
            try:
                self.outcomes[value] = await self._store.commit(txn)
            except StoreError as error:
                self.outcomes[value] = error
                await asyncio.sleep(0.01)

    @property
    def written(self) -> int:
        return sum(isinstance(outcome, Committed) and outcome.succeeded for outcome in self.outcomes.values())

    async def more(self, count: int = 50) -> None:
        """Return when ``count`` more were written."""
        start = self.written
        await eventually(lambda: self.written >= start + count, "more writes to be answered", 40.0)

    async def stop(self) -> None:
        self._stopping = True
        await asyncio.gather(*self._tasks)

    def check(self, events: list[Event]) -> None:
        """Against everything that etcd says has happened."""
        happened: dict[bytes, int] = {}
        for event in events:
            assert event.current is not None
            assert event.current.value not in happened, "written twice"
            happened[event.current.value] = event.revision
        for value, outcome in self.outcomes.items():
            if isinstance(outcome, OutcomeUnknownError):
                continue
            done = isinstance(outcome, Committed) and outcome.succeeded
            assert (value in happened) == done, f"{value!r}: {outcome}"
            if done:
                assert isinstance(outcome, Committed)
                assert happened[value] == outcome.revision


def history(store: Store) -> list[Event]:
    events: list[Event] = []
    store.watch("/n/", "/n0", store.compacted_revision, lambda batch: events.extend(batch or ())).cancel()
    return events


async def check(etcd: Etcd, load: Load, store: Store) -> None:
    await store.sync()
    async with using(etcd) as other:
        assert other.revision == store.revision
        load.check(history(other))
        seen = [(event.revision, event.key) for event in history(store)]
        assert seen == [(event.revision, event.key) for event in history(other)], "the view missed something"


async def test_etcd_killed_under_load_loses_nothing_that_was_answered(durable: Etcd) -> None:
    async with using(durable) as store:
        load = Load(store)
        member = durable.members[0]
        for end in (member.kill, member.terminate, member.kill):
            await load.more()
            await asyncio.to_thread(end)
            await asyncio.to_thread(durable.start)
        await load.more()
        await load.stop()
        await check(durable, load, store)


async def test_the_leader_killed_is_not_even_noticed_by_writers(three: Etcd) -> None:
    async with using(three) as store:
        load = Load(store)
        for _ in range(2):
            await load.more()
            leader = await asyncio.to_thread(three.leader)
            leader.kill()
            await load.more()
            await asyncio.to_thread(three.start)
        await load.more()
        await load.stop()
        failed = [outcome for outcome in load.outcomes.values() if isinstance(outcome, StoreError)]
        assert failed == []
        await check(three, load, store)


async def test_a_leader_that_hangs_is_left(three: Etcd, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(etcd_client, "ATTEMPT", 1.0)
    async with using(three) as store:
        load = Load(store)
        await load.more()
        leader = await asyncio.to_thread(three.leader)
        leader.signal(signal.SIGSTOP)
        await load.more()
        await store.sync()
        leader.signal(signal.SIGCONT)
        await load.more()
        await load.stop()
        assert [outcome for outcome in load.outcomes.values() if isinstance(outcome, StoreError)] == []
        await check(three, load, store)


async def test_etcd_stopped_and_continued(durable: Etcd, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(etcd_client, "ATTEMPT", 1.0)
    monkeypatch.setattr(etcd_client, "PATIENCE", 2.0)
    async with using(durable) as store:
        load = Load(store, clients=8)
        await load.more()
        durable.members[0].signal(signal.SIGSTOP)
        with pytest.raises(UnavailableError):
            await asyncio.wait_for(store.sync(), 5.0)
        assert store.refusal is not None
        with pytest.raises(UnavailableError):
            await asyncio.wait_for(store.sync(), 2.0)
        assert store.get("/n/0") is not None, "what is known can still be read"
        durable.members[0].signal(signal.SIGCONT)
        await load.more()
        await load.stop()
        assert store.refusal is None
        await check(durable, load, store)


async def test_a_write_whose_answer_was_lost_is_found_again(fast: Etcd, link: Link) -> None:
    async with opened(link.url, fast.options(root="")) as store:
        await store.commit(Txn((), [Put("/n/a", b"1"), Put("/n/d", b"1")]))
        before = store.revision

        async def lost(txn: Txn) -> Outcome:
            link.deaf = True
            revision = store.revision
            work = asyncio.create_task(store.commit(txn))
            async with using(fast) as other:
                await eventually(lambda: other.revision > revision, "the write to arrive")
            await link.cut()
            link.deaf = False
            await link.connect()
            try:
                return await work
            except StoreError as error:
                return error

        answer = await lost(Txn([Compare("/n/a", before)], [Put("/n/a", b"2")]))
        assert isinstance(answer, Committed)
        assert answer.succeeded
        assert [item.value for item in answer.puts] == [b"2"]
        assert (answer.revision, store.revision) == (before + 1, before + 1), "it was written once"
        # Nothing tells a lost deletion from another's, and a write without condition may still be on its way.
        assert isinstance(await lost(Txn([Compare("/n/d", before)], [Delete("/n/d")])), OutcomeUnknownError)
        assert isinstance(await lost(Txn((), [Put("/n/x", b"1")])), OutcomeUnknownError)
        assert await synced(store) == before + 3


async def test_a_watch_cut_off_misses_nothing(fast: Etcd, link: Link) -> None:
    async with opened(link.url, fast.options(root="")) as store, using(fast) as other:
        seen: list[Event] = []
        store.watch("/n/", "/n0", store.revision, lambda events: seen.extend(events or ()))
        await other.commit(Txn((), [Put("/n/a", b"1")]))
        await store.sync()
        await link.cut()
        for i in range(300):
            await other.commit(Txn((), [Put(f"/n/{i}", b"x")]))
        together = [f"/n/many-{i:04}" for i in range(1000)]
        await other.commit(Txn((), [Put(key, b"x") for key in together]))
        await other.commit(Txn((), [Delete("/n/a")]))
        batches: list[set[int]] = []
        store.watch("/n/", "/n0", store.revision, lambda events: batches.append({e.revision for e in events or ()}))
        await link.connect()
        assert await synced(store) == other.revision
        assert [event.key for event in seen] == ["/n/a", *(f"/n/{i}" for i in range(300)), *together, "/n/a"]
        told = [revision for batch in batches for revision in sorted(batch)]
        assert len(told) == len(set(told)), "a revision is told of at once"
        assert len(batches) > 2, "many are told of in turns"


async def test_what_was_compacted_away_is_made_up_for(fast: Etcd, link: Link) -> None:
    async with opened(link.url, fast.options(root="")) as store, using(fast) as other:
        await other.commit(Txn((), [Put(f"/n/{name}", b"1") for name in ("kept", "changed", "gone", "again")]))
        start = await store.sync()
        seen: list[Event] = []
        store.watch("/n/", "/n0", start, lambda events: seen.extend(events or ()))
        await link.cut()
        for value in (b"2", b"3"):
            await other.commit(Txn((), [Put("/n/changed", value)]))
        await other.commit(Txn((), [Delete("/n/gone"), Delete("/n/again"), Put("/n/new", b"1")]))
        await other.commit(Txn((), [Put("/n/again", b"2")]))
        await other.compact(other.revision)
        await link.connect()
        assert await synced(store) == other.revision
        told = [(event.key, event.current and event.current.value) for event in seen]
        assert sorted(told, key=lambda each: (each[0], each[1] or b"")) == [
            ("/n/again", None),
            ("/n/again", b"2"),
            ("/n/changed", b"3"),
            ("/n/gone", None),
            ("/n/new", b"1"),
        ]
        assert told.index(("/n/again", None)) < told.index(("/n/again", b"2"))
        revisions = [event.revision for event in seen]
        assert revisions == sorted(revisions)
        assert start < revisions[0]
        assert revisions[-1] <= store.revision
        now = [(item.key, item.value, item.version) for item in store.range("/", "0").items]
        assert now == [(item.key, item.value, item.version) for item in other.range("/", "0").items]
        with pytest.raises(CompactedError):
            store.watch("/n/", "/n0", start, lambda _: None)


async def test_two_stores_on_one_etcd_are_one(fast: Etcd) -> None:
    async with using(fast) as first, using(fast) as second:
        for number in range(100):
            writer, reader = (first, second) if number % 2 else (second, first)
            answer = await writer.commit(Txn((), [Put(f"/n/{number}", b"%d" % number)]))
            assert await reader.sync() >= answer.revision
            item = reader.get(f"/n/{number}")
            assert item is not None
            assert item.mod_revision == answer.revision
        assert [event.revision for event in history(first)] == [event.revision for event in history(second)]


async def test_of_creations_through_two_stores_exactly_one_wins(fast: Etcd) -> None:
    async with using(fast) as first, using(fast) as second:
        txns = [Txn([Compare("/a", 0)], [Put("/a", b"%d" % number)]) for number in range(40)]
        stores = [first, second] * 20
        answers = await asyncio.gather(*(store.commit(txn) for store, txn in zip(stores, txns, strict=True)))
        assert sum(answer.succeeded for answer in answers) == 1


async def test_other_programs_may_write_beside_it(fast: Etcd, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(etcd_feed, "SILENCE", 0.05)
    async with using(fast, "/blue") as blue, using(fast, "/green") as green:
        for number in range(20):
            await green.commit(Txn((), [Put(f"/a/{number}", b"x")]))
            assert await blue.sync() >= green.revision
        await blue.commit(Txn((), [Put("/b", b"y")]))
        assert [item.key for item in blue.range("/", "0").items] == ["/b"]
        assert green.get("/b") is None
        assert fast.ctl("get", "/blue/b", "--print-value-only").stdout == "y\n"
        for key in ("b", "/pinnace.internal/progress"):
            with pytest.raises(ValueError, match="none for an object"):
                await blue.commit(Txn((), [Put(key, b"")]))


async def test_many_waiting_share_one_read(fast: Etcd) -> None:
    def reads() -> int:
        import urllib.request

        with urllib.request.urlopen(f"{fast.members[0].client_url}/metrics") as answer:
            lines = answer.read().decode().splitlines()
        name = 'grpc_server_started_total{grpc_method="Range"'
        return int(float(next(line for line in lines if line.startswith(name)).split()[-1]))

    async with using(fast) as store:
        await store.sync()
        before = await asyncio.to_thread(reads)
        await asyncio.gather(*(store.sync() for _ in range(200)))
        assert await asyncio.to_thread(reads) - before == 1


async def test_one_of_several_servers_compacts(fast: Etcd) -> None:
    async with using(fast) as store:
        keys, options = Keys("/registry", ""), fast.options(root="")
        clients = [EtcdClient([fast.members[0].address], options, RealClock(), b"/registry/x") for _ in range(2)]
        first, second = (Compaction(client, keys, View(), RealClock(), 300.0) for client in clients)

        def oldest() -> int:
            """The oldest revision that etcd has: what a store that is opened now can read."""
            failed = fast.ctl("get", "/", "--rev=2")
            return 0 if failed.returncode == 0 else 2

        async def a_round(*servers: Compaction) -> int:
            for number in range(5):
                await store.commit(Txn((), [Put("/a", b"%d" % number)]))
            for server in servers:
                await server.attempt()
            return store.revision

        begin = await a_round(first, second)
        assert oldest() == 0, "what is younger than the interval is kept"
        await a_round(second, first)
        async with using(fast) as other:
            assert begin - 2 <= other.compacted_revision <= begin + 2
        version = fast.ctl("get", "/registry/pinnace.internal/compaction", "-w", "fields").stdout
        assert '"Version" : 2' in version, "one attempt of each round succeeded"
        for client in clients:
            await client.close()


async def test_another_database_in_its_place_is_refused(fast: Etcd) -> None:
    async with using(fast) as store:
        await store.commit(Txn((), [Put("/a", b"1")]))
        member = fast.members[0]
        member.kill()
        shutil.rmtree(member.directory / "data")
        await asyncio.to_thread(fast.start)
        await eventually(lambda: "restart Pinnace" in (store.refusal or ""), "the change to be noticed")
        for work in (store.sync(), store.commit(Txn((), [Put("/a", b"2")]))):
            with pytest.raises(StoreError, match=r"gone back|another cluster"):
                await work


# -- beginnings that fail


async def refused(url: str, options: EtcdOptions) -> str:
    with pytest.raises(StoreError) as caught:
        async with opened(url, options):
            pass
    assert "\n" not in str(caught.value)
    return str(caught.value)


async def test_nobody_there(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(etcd_client, "UNSENT_PATIENCE", 0.3)
    message = await refused("etcd://127.0.0.1:1,127.0.0.1:2", EtcdOptions())
    assert "127.0.0.1:" in message
    assert "Connection refused" in message


@pytest.mark.parametrize("url", ["etcd://", "etcd://host", "etcd://a:1,b", "etcd://a:1/path"])
async def test_an_address_must_be_one(url: str) -> None:
    assert "etcd://HOST:PORT" in await refused(url, EtcdOptions())


async def test_files_that_are_none(tmp_path: Path) -> None:
    missing = tmp_path / "none.pem"
    assert str(missing) in await refused("etcd://127.0.0.1:1", EtcdOptions(ca=missing))
    (tmp_path / "text.pem").write_text("hello")
    assert "no PEM" in await refused("etcd://127.0.0.1:1", EtcdOptions(ca=tmp_path / "text.pem"))


async def test_tls_that_is_not_trusted(tmp_path: Path) -> None:
    good, wrong = Certificates(tmp_path / "good"), Certificates(tmp_path / "wrong")
    etcd = Etcd(tmp_path / "etcd", tls=good, durable=False).start()
    try:
        assert "not of the authority" in await refused(etcd.url, EtcdOptions(ca=wrong.ca))
        for options in (EtcdOptions(ca=good.ca), EtcdOptions(good.ca, wrong.certificate, wrong.key), EtcdOptions()):
            message = await refused(etcd.url, options)
            assert "--etcd-c" in message
        async with using(etcd) as store:
            assert await store.sync()
    finally:
        etcd.stop()


async def test_no_tls_where_it_is_asked_for(fast: Etcd, tmp_path: Path) -> None:
    certificates = Certificates(tmp_path / "certs")
    assert "does not speak TLS" in await refused(fast.url, EtcdOptions(ca=certificates.ca))


async def test_a_user_without_rights(tmp_path: Path) -> None:
    certificates = Certificates(tmp_path / "certs", user="reader")
    etcd = Etcd(tmp_path / "etcd", tls=certificates, durable=False).start()
    try:
        for command in ("user add root:secret", "user grant-role root root", "user add reader:secret", "auth enable"):
            assert etcd.ctl(*command.split()).returncode == 0, command
        message = await refused(etcd.url, etcd.options())
        assert "permission denied" in message
        assert "may read and write /registry" in message
        # With a right to its own keys, and to nothing else, everything works.
        admin = Certificates(tmp_path / "admin", user="root", authority=certificates)
        etcd.tls = admin
        for command in (
            "role add registry",
            "role grant-permission registry --prefix=true readwrite /registry/",
            "user grant-role reader registry",
        ):
            assert etcd.ctl(*command.split()).returncode == 0, command
        etcd.tls = certificates
        async with using(etcd) as store:
            await store.commit(Txn([Compare("/a", 0)], [Put("/a", b"1")]))
            await store.compact(await store.sync())
    finally:
        etcd.stop()


async def test_a_full_database(tmp_path: Path) -> None:
    etcd = Etcd(tmp_path / "etcd", f"--quota-backend-bytes={1 << 20}", durable=False).start()
    try:
        async with using(etcd) as store:
            with pytest.raises(StoreError, match="space exceeded"):
                for number in range(5_000):  # etcd looks at its size ten times a second
                    await store.commit(Txn((), [Put(f"/{number % 40}", b"x" * 100_000)]))
            assert await store.sync() == store.revision, "it can still be read"
        assert "etcdctl alarm disarm" in await refused(etcd.url, etcd.options())
    finally:
        etcd.stop()


async def test_kubernetes_own_data_is_left_alone(fast: Etcd) -> None:
    assert fast.ctl("put", "/registry/pods/default/a", "k8s:enc:aescbc:v1:...").returncode == 0
    with pytest.raises(StoreError, match=r"/registry/pods/default/a cannot be read: .* another --etcd-prefix"):
        await open_store(fast.url, stamp=codec.stamp, clock=RealClock(), etcd=fast.options())
    store = await open_store(fast.url, stamp=codec.stamp, clock=RealClock(), etcd=fast.options("/other"))
    assert fast.ctl("put", "/other/pods/default/a", "k8s:enc:aescbc:v1:...").returncode == 0
    await eventually(lambda: "--etcd-prefix" in (store.refusal or ""), "what is written later to be noticed")
    await store.close()
