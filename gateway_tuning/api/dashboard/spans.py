"""Lengths of time in words. Pure."""

_UNITS = ((86_400, "d"), (3_600, "h"), (60, "min"), (1, "s"))


def lasted(seconds: float) -> str:
    """Its two largest units: `3 min 50 s`."""
    left, parts = max(round(seconds), 0), []
    for size, unit in _UNITS:
        count, left = divmod(left, size)
        if count:
            parts.append(f"{count} {unit}")
        elif parts:
            break
    return " ".join(parts[:2]) or "under 1 s"
