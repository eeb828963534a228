"""More ways to ask what was asked: new prompts for examples of the train split, and none that a held-out prompt knows."""
