"""What makes the documentation's site: the reference, from code, and the hooks of MkDocs."""
