"""`python -m gateway_tuning.cli`."""

from gateway_tuning.cli import app

app()
