"""OpenAI, and servers that speak its fine-tuning API: the provider, the wire, and the figures of its results."""
