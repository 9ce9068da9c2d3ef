"""A disk that is full, folders that cannot be written, files that are missing or cut, and what is refused."""

from __future__ import annotations

import os
import shutil
import sqlite3
import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest
from documents import DIM, State, differences, perform, texts

from rank_plugins import TokenEmbeddings
from rank_plugins.errors import InputError, StoreError
from rank_plugins.store import EmbeddingStore
from rank_plugins.testing import HashEncoder

HERE = Path(__file__).parent
CATALOGUE = "catalogue.sqlite"
posix = pytest.mark.skipif(os.name != "posix", reason="needs the limits and rights of POSIX")

FULL = """
import sys
from documents import perform, differences, after
from rank_plugins.errors import StoreError
from rank_plugins.store import EmbeddingStore

folder, limit = sys.argv[1], int(sys.argv[2])
store = EmbeddingStore.open(folder, "a", codec="float32")
if limit:
    import resource
    resource.setrlimit(resource.RLIMIT_FSIZE, (limit, resource.RLIM_INFINITY))
state, told = {}, []
for step in range(5000):
    operation = {"do": "add", "documents": {f"document {step * 8 + i}": step for i in range(8)}}
    try:
        perform(store, operation)
    except StoreError as error:
        told.append(str(error))
        assert differences(store, state) == []
        if len(told) == 3:  # it stays full, and says so every time
            break
    else:
        state = after(state, operation)
assert len(told) == 3, "it never was full"
assert state
if limit:
    resource.setrlimit(resource.RLIMIT_FSIZE, (resource.RLIM_INFINITY, resource.RLIM_INFINITY))
else:
    import os
    os.unlink(os.path.join(folder, "..", "ballast"))
perform(store, operation)
state = after(state, operation)
assert differences(store, state) == []
assert store.verify() == []
store.close()
with EmbeddingStore.open(folder) as store:
    assert differences(store, state) == []
print(told[0])
"""

READ = """
import mmap, numpy.ma, numpy.random, os, sys  # NumPy imports them late, from where another user may not read
from rank_plugins.errors import StoreError
from rank_plugins.store import EmbeddingStore
from documents import differences

if not os.getuid():
    os.setgid(65534)
    os.setuid(65534)
try:
    with EmbeddingStore.open(sys.argv[1]) as store:
        assert differences(store, {"one": 1, "two": 2}) == []
        assert store.verify() == []
        print("read")
except StoreError as error:
    print(error)
try:
    EmbeddingStore.open(sys.argv[1], "a")
except StoreError as error:
    print(error)
"""

BESIDE = """
import mmap, numpy.ma, numpy.random, os, sys  # as above
import numpy as np
from rank_plugins.errors import StoreError
from rank_plugins.store import EmbeddingStore

def look():
    try:
        print(np.unique(store.get(list(store)).contiguous()[0]).tolist(), flush=True)
    except StoreError as error:
        print(error, flush=True)

os.setgid(65534)
os.setuid(65534)
store = EmbeddingStore.open(sys.argv[1])
look()
sys.stdin.readline()
look()
store.refresh()
look()
"""


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    """Return the folder of a store of int8, closed, of the documents one and two."""
    fill(tmp_path / "store", {"one": 1, "two": 2})
    return tmp_path / "store"


def fill(folder: Path, state: State, codec: str | None = None) -> None:
    with EmbeddingStore.open(folder, "a", codec=codec) as store:
        perform(store, {"do": "add", "documents": state})


def fill_evenly(folder: Path, count: int, value: float) -> None:
    """Write documents of one token each, all of one value."""
    with EmbeddingStore.open(folder, "a", codec="float32") as store:
        rows = TokenEmbeddings(np.full((count, 1), value, np.float32), np.arange(count + 1))
        store.add([f"document number {i}" for i in range(count)], rows)


def open_to_others(folder: Path) -> None:
    """Let other users come to this folder."""
    for path in (folder, *folder.parents):
        if path != Path("/") and path.stat().st_uid == os.getuid():
            path.chmod(path.stat().st_mode | 0o055)


def run(script: str, *arguments: object, prefix: tuple[str, ...] = ()) -> str:
    """Run a script in a process of its own and return what it printed."""
    command = [*prefix, sys.executable, "-c", script, *map(str, arguments)]
    path = os.pathsep.join([str(HERE), os.environ.get("PYTHONPATH", "")])
    done = subprocess.run(command, env=os.environ | {"PYTHONPATH": path}, capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stderr
    return done.stdout


@posix
@pytest.mark.parametrize("limit", [40_000, 150_000, 400_000])
def test_a_file_that_may_not_grow(tmp_path, limit):
    """At several sizes, so that it is the catalogue, its log or a segment that cannot."""
    told = run(FULL, tmp_path / "store", limit)
    assert str(tmp_path / "store") in told
    assert "nothing" in told


def test_a_full_disk(tmp_path):
    """A file system of 1 MB, in a mount namespace of the child's own."""
    mount = ("unshare", "--map-root-user", "--mount") if sys.platform == "linux" and shutil.which("unshare") else ()
    small = tmp_path / "small"
    small.mkdir()
    script = 'mount -t tmpfs -o size=1m tmpfs "$0" && dd if=/dev/zero of="$0/ballast" bs=100k count=2 && exec "$@"'
    prefix = (*mount, "sh", "-c", script, str(small))
    if not mount or subprocess.run([*prefix, "true"], capture_output=True, check=False).returncode:
        pytest.skip("this system does not let us mount a small file system")
    told = run(FULL, small / "store", 0, prefix=prefix)
    assert "full" in told or "No space" in told
    assert "nothing" in told


@posix
@pytest.mark.parametrize("log", [False, True], ids=["closed", "with a log"])
def test_a_folder_that_may_not_be_written(tmp_path, log):
    """It can be read, writing is refused; where a killed writer left its log, SQLite needs a folder to be written."""
    work = tmp_path / "work"
    fill(work, {"one": 0, "two": 2})
    with EmbeddingStore.open(work, "a") as store:
        perform(store, {"do": "add", "documents": {"one": 1}})
        if log:
            shutil.copytree(work, tmp_path / "store", ignore=shutil.ignore_patterns("*-shm"))
    if not log:
        work.rename(tmp_path / "store")
    folder = tmp_path / "store"
    assert (folder / f"{CATALOGUE}-wal").exists() == log
    open_to_others(tmp_path)
    paths = [folder, *folder.rglob("*")]
    for path in paths:
        path.chmod(0o555 if path.is_dir() else 0o444)
    try:
        read, written = run(READ, folder).splitlines()
    finally:
        for path in paths:
            path.chmod(0o755 if path.is_dir() else 0o644)
    assert "mode 'r'" in written
    assert str(folder) in written
    if log:
        assert CATALOGUE in read
        assert "the folder may be read and written" in read
    else:
        assert read == "read"


@pytest.mark.skipif(os.name != "posix" or os.getuid() != 0, reason="needs two users, and the right to become another")
def test_a_reader_without_rights_beside_a_writer(tmp_path):
    """It sees what it began with and, refreshed, what was committed since; or says that it cannot."""
    count = 20_000  # so that the catalogue is larger than SQLite's cache of it
    fill_evenly(tmp_path / "store", count, 1)
    open_to_others(tmp_path)
    with subprocess.Popen(
        [sys.executable, "-c", BESIDE, str(tmp_path / "store")],
        stdin=subprocess.PIPE,
        stdout=subprocess.PIPE,
        text=True,
    ) as reader:
        assert reader.stdout is not None
        assert reader.stdout.readline() == "[1.0]\n"
        fill_evenly(tmp_path / "store", count, 2)
        rest, _ = reader.communicate("go on\n")
    before, after = rest.splitlines()
    assert before == "[1.0]" or "refresh" in before
    assert after == "[2.0]"


@pytest.mark.parametrize("name", [CATALOGUE, "segments/00000001.values", "segments/00000001.scales"])
@pytest.mark.parametrize("share", [None, 0.0, 0.5, 0.999])
@pytest.mark.parametrize("mode", ["r", "a"])
def test_missing_and_cut_files_are_named(folder, name, share, mode):
    """Gone, empty, half and all but the last byte."""
    path = folder / name
    content = path.read_bytes()
    path.unlink()
    if share is not None:
        path.write_bytes(content[: int(share * len(content))])
    told = "expected an embedding store" if (name, share, mode) == (CATALOGUE, None, "r") else path.name
    with pytest.raises(StoreError, match=told):
        EmbeddingStore.open(folder, mode, verify=True).close()


@pytest.mark.parametrize("share", [None, 0.0])
def test_a_lost_catalogue_does_not_cost_the_segments(folder, share):
    """Opening for writing makes no new store over the rows of another."""
    path = folder / CATALOGUE
    path.unlink()
    if share is not None:
        path.write_bytes(b"")
    before = {file: file.read_bytes() for file in folder.glob("segments/*")}
    with pytest.raises(StoreError, match=CATALOGUE), EmbeddingStore.open(folder, "a", codec="int8") as store:
        perform(store, {"do": "add", "documents": {"three": 3}})
    assert {file: file.read_bytes() for file in folder.glob("segments/*")} == before


def test_a_second_writer_is_refused(folder):
    """In this process and in another; when the first has closed, the next may write."""
    script = "import sys\nfrom rank_plugins.store import EmbeddingStore\nEmbeddingStore.open(sys.argv[1], 'a')"
    with EmbeddingStore.open(folder, "a"):
        with pytest.raises(StoreError, match="another store is open for writing.*mode 'r'"):
            EmbeddingStore.open(folder, "a")
        with pytest.raises(AssertionError, match="StoreError: .*another store is open for writing"):
            run(script, folder)
        EmbeddingStore.open(folder).close()
    run(script, folder)
    EmbeddingStore.open(folder, "a").close()


def test_a_failed_opening_lets_go(folder):
    """A reader that could not open a store keeps no lock that hinders the next writer."""
    wrong = folder.with_name("wrong")
    shutil.copytree(folder, wrong)
    with sqlite3.connect(wrong / CATALOGUE) as connection:
        connection.execute("PRAGMA user_version = 99")
    connection.close()
    with pytest.raises(StoreError) as kept:  # as the error is, its frames hold what they opened
        EmbeddingStore.open(wrong)
    with sqlite3.connect(wrong / CATALOGUE, timeout=0) as connection:
        connection.execute("PRAGMA journal_mode = DELETE")  # needs the file for itself
        connection.execute("PRAGMA user_version = 1")
    connection.close()
    assert kept.value
    EmbeddingStore.open(wrong, "a").close()


def test_a_newer_version_is_refused(folder):
    """And named, with what to do."""
    with sqlite3.connect(folder / CATALOGUE) as connection:
        connection.execute("PRAGMA user_version = 99")
    connection.close()
    for mode in ("r", "a"):
        with pytest.raises(StoreError, match=r"catalogue\.sqlite: .*version.*99.*update rank-plugins"):
            EmbeddingStore.open(folder, mode)


def test_another_database_is_refused(tmp_path):
    """One that is no catalogue gets none of our tables."""
    path = tmp_path / CATALOGUE
    with sqlite3.connect(path) as connection:
        connection.execute("CREATE TABLE others (value)")
    connection.close()
    for mode in ("r", "a"):
        with pytest.raises(StoreError, match="no catalogue of an embedding store"):
            EmbeddingStore.open(tmp_path, mode)
    with sqlite3.connect(path) as connection:
        assert connection.execute("SELECT name FROM sqlite_master").fetchall() == [("others",)]
    connection.close()


def test_another_dimension_is_refused(folder):
    """For what is added and for what is asked; the store stays as it is."""
    wide = np.ones((2, DIM + 1), np.float32)
    state = {"one": 1, "two": 2}
    with EmbeddingStore.open(folder, "a") as store:
        with pytest.raises(InputError, match=f"expected {DIM} dimensions.*got {DIM + 1}"):
            store.add(["three"], TokenEmbeddings.from_list([wide]))
        with pytest.raises(InputError, match=f"query: expected {DIM} dimensions.*got {DIM + 1}"):
            store.search(wide)
        assert differences(store, state) == []


def test_another_encoder_is_refused(tmp_path):
    """One of another fingerprint, by name of the folder and both fingerprints."""
    first, second = HashEncoder(dim=DIM), HashEncoder(dim=DIM + 4)
    with EmbeddingStore.open(tmp_path / "store", "a") as store:
        store.add(["one"], texts=["a text"], encoder=first)
        for work in (
            lambda: store.add(["two"], texts=["another"], encoder=second),
            lambda: store.search("a text", encoder=second),
        ):
            with pytest.raises(InputError, match=f"{first.fingerprint}.*{second.fingerprint}") as told:
                work()
            assert str(tmp_path / "store") in str(told.value)
        assert list(store) == ["one"]
        assert store.changed(["one", "two"], ["a text", "another"]) == [False, True]


def test_settings_of_another_store_are_refused(folder):
    """Those given for a store that is there must be its own."""
    with pytest.raises(InputError, match="int8.*float32|float32.*int8"):
        EmbeddingStore.open(folder, "a", codec="float32")
    with EmbeddingStore.open(folder, codec="int8") as store:
        assert store.changed(["one"], texts({"one": 1})) == [False]
