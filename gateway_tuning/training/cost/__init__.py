"""What a tuning job will cost, whether it may, and what it did cost. An amount that is not known is never zero."""
