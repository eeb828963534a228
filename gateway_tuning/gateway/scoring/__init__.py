"""Scores of answers that were given, by the evaluation's scorers, in a process of their own."""

from gateway_tuning.gateway.scoring.process import Scoring, open_scoring
from gateway_tuning.gateway.scoring.relevance import RelevanceObserver, open_relevance

__all__ = ["RelevanceObserver", "Scoring", "open_relevance", "open_scoring"]
