"""Search for hyperparameters under a budget. The default ones are always trained first, and the best is held against them."""
