"""A folder is there whole or not at all."""

from __future__ import annotations

import hashlib
import os
import signal
import subprocess
import sys
import textwrap

import pytest

from rank_plugins import InputError
from rank_plugins.export.folder import publish


def write(folder):
    (folder / "model.onnx").write_bytes(b"graph")
    (folder / "config.json").write_text("{}")
    return "report"


def test_everything_is_moved_with_its_sums(tmp_path):
    assert publish(tmp_path / "new" / "out", write) == "report"
    out = tmp_path / "new" / "out"
    assert sorted(path.name for path in out.iterdir()) == ["SHA256SUMS", "config.json", "model.onnx"]
    assert f"{hashlib.sha256(b'graph').hexdigest()}  model.onnx" in (out / "SHA256SUMS").read_text().splitlines()
    assert [path.name for path in out.parent.iterdir()] == ["out"]


@pytest.mark.parametrize("name", ["out", "."])
def test_an_empty_folder_is_taken(tmp_path, monkeypatch, name):
    (tmp_path / "here" / "out").mkdir(parents=True)
    monkeypatch.chdir(tmp_path / "here" if name == "out" else tmp_path / "here" / "out")
    publish(name, write)
    assert (tmp_path / "here" / "out" / "model.onnx").read_bytes() == b"graph"


@pytest.mark.parametrize("as_file", [True, False])
def test_what_is_there_is_left_alone(tmp_path, as_file):
    out = tmp_path / "out"
    if as_file:
        out.write_text("mine")
    else:
        out.mkdir()
        (out / "mine").touch()
    with pytest.raises(InputError, match="new or empty"):
        publish(out, lambda _: pytest.fail("nothing is computed for a place that is taken"))
    assert out.is_file() or [path.name for path in out.iterdir()] == ["mine"]


def test_a_place_that_cannot_be_written_is_told(tmp_path):
    (tmp_path / "file").touch()
    with pytest.raises(InputError, match=r"out: .*file.* cannot be made \(.*\); give another"):
        publish(tmp_path / "file" / "out", lambda _: pytest.fail("nothing is computed for no place"))


def test_an_error_of_the_export_itself_stays_what_it_is(tmp_path):
    def fails(folder):
        raise OSError(28, "no space left")

    with pytest.raises(OSError, match="no space left") as caught:
        publish(tmp_path / "out", fails)
    assert not isinstance(caught.value, InputError)


@pytest.mark.parametrize("error", [InputError("parity"), KeyboardInterrupt(), MemoryError()])
def test_what_fails_leaves_nothing(tmp_path, error):
    def fails(folder):
        write(folder)
        raise error

    with pytest.raises(type(error)):
        publish(tmp_path / "out", fails)
    assert not list(tmp_path.iterdir())


@pytest.mark.skipif(not hasattr(signal, "SIGKILL"), reason="needs a signal that cannot be caught")
def test_a_killed_export_leaves_no_half_folder_at_its_place(tmp_path):
    code = """
        import sys, time
        from rank_plugins.export.folder import publish
        def write(folder):
            (folder / "model.onnx").write_bytes(b"half")
            print("writing", flush=True)
            time.sleep(600)
        publish(sys.argv[1], write)
    """
    command = [sys.executable, "-c", textwrap.dedent(code), str(tmp_path / "out")]
    with subprocess.Popen(command, stdout=subprocess.PIPE, text=True) as process:
        assert process.stdout is not None
        assert process.stdout.readline() == "writing\n"
        os.kill(process.pid, signal.SIGKILL)
    assert not (tmp_path / "out").exists()
    assert publish(tmp_path / "out", write) == "report"
