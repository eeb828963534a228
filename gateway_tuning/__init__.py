"""LLM Gateway Tuning: from users' feedback to a better model, safely."""

__version__ = "0.1.0"
