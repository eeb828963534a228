"""Whether all that is needed is there and answers, and what to do where it does not."""
