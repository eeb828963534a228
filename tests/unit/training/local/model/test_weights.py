import threading
import time

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from gateway_tuning.errors import IntegrityError
from gateway_tuning.storage.object_store import file_sha256
from gateway_tuning.training.local.model import weights


def test_the_packaged_file_is_the_published_one():
    assert file_sha256(weights.packaged_gguf()) == weights.GGUF_SHA256


def test_another_file_in_its_place_is_refused(monkeypatch):
    monkeypatch.setattr(weights, "GGUF_SHA256", "0" * 64)
    with pytest.raises(IntegrityError, match="force-reinstall"):
        weights.packaged_gguf()


@given(heads=st.integers(1, 5), half=st.integers(1, 4), columns=st.integers(1, 3))
def test_reordering_rotary_rows_there_and_back_changes_nothing(heads, half, columns):
    rows = np.arange(heads * 2 * half * columns).reshape(heads * 2 * half, columns)
    there = weights.swap_rotary_halves(rows, heads, to_gguf=True)
    assert (weights.swap_rotary_halves(there, heads, to_gguf=False) == rows).all()


def test_llama_cpp_keeps_the_two_halves_of_a_head_interleaved():
    rows = np.arange(8).reshape(8, 1)
    assert weights.swap_rotary_halves(rows, 2, to_gguf=True).ravel().tolist() == [0, 2, 1, 3, 4, 6, 5, 7]


def test_two_who_ask_at_once_build_once(tmp_path):
    built = []

    def build(folder):
        built.append(folder)
        time.sleep(0.2)
        (folder / "data").write_text("whole")

    threads = [threading.Thread(target=weights.cached_folder, args=(tmp_path / "c", build)) for _ in range(3)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert len(built) == 1
    assert (tmp_path / "c" / "data").read_text() == "whole"


def test_a_build_that_was_cut_off_leaves_no_folder_and_is_done_again(tmp_path):
    def cut_off(folder):
        (folder / "data").write_text("ha")
        raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        weights.cached_folder(tmp_path / "c", cut_off)
    assert not (tmp_path / "c").exists()
    weights.cached_folder(tmp_path / "c", lambda folder: (folder / "data").write_text("whole"))
    assert (tmp_path / "c" / "data").read_text() == "whole"


def test_a_damaged_folder_is_made_again(tmp_path):
    folder = weights.cached_folder(tmp_path / "c", lambda folder: (folder / "data").write_text("whole"))
    for name in ("data", "checksums.json"):
        (folder / name).write_text("{")
        weights.cached_folder(tmp_path / "c", lambda folder: (folder / "data").write_text("whole"))
        assert (folder / "data").read_text() == "whole"
        assert "data" in (folder / "checksums.json").read_text()
