"""Mistral: the provider, its wire, and what is made of its answers."""
