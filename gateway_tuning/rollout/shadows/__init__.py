"""Shadows: a share of real requests asked of a candidate too, whose answers nobody sees."""
