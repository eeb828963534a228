"""Keeps runs in memory, by key as Prefect does. The real server is met in `tests/flows`."""

from dataclasses import replace

from gateway_tuning.errors import NotFoundError, OrchestratorError
from gateway_tuning.runs.orchestrator import OrchestratedRun, RunStatus


class MemoryOrchestrator:
    def __init__(self):
        self.runs = {}
        self.started = {}  # key to (deployment, parameters, tags)
        self.events = []
        self.answers = True

    def start(self, deployment, parameters, *, key, tags=()):
        self.check()
        self.started.setdefault(key, (deployment, parameters, tags))
        return self.runs.setdefault(f"o-{key}", OrchestratedRun(f"o-{key}", RunStatus.QUEUED))

    def read(self, run_id):
        self.check()
        if run_id not in self.runs:
            raise NotFoundError(f"No run {run_id}")
        return self.runs[run_id]

    def cancel(self, run_id):
        self.turn(run_id, RunStatus.CANCELLED)

    def announce(self, event):
        self.check()
        self.events.append(event)

    def check(self):
        if not self.answers:
            raise OrchestratorError("Prefect does not answer")

    def turn(self, run_id, status, message="", *, crashed=False):
        if not self.read(run_id).status.is_terminal:
            self.runs[run_id] = replace(self.runs[run_id], status=status, message=message, crashed=crashed)
