"""What the folder of a job says once its worker has gone."""

import threading

import pytest

from gateway_tuning.training.job import JobStatus
from gateway_tuning.training.local import worker
from gateway_tuning.training.local.job_folder import JobFolder, LocalSpec


def test_what_an_error_of_others_says_stays_in_the_log_that_goes_with_the_data(tmp_path, monkeypatch):
    def broken(*_):
        raise ValueError("secret words")

    folder = JobFolder(tmp_path)
    folder.write_spec(LocalSpec("base", "supervised", {}, 0, "ds", "", None))
    monkeypatch.setattr(worker, "_train", broken)
    with pytest.raises(ValueError, match="secret words"):
        worker._work(folder, tmp_path, threading.Event())
    state = folder.read_state()

    assert state.status is JobStatus.FAILED
    assert "ValueError (log: worker.log" in state.message
    assert not [path for path in tmp_path.iterdir() if "secret words" in path.read_text()]
