"""Until when providers take jobs for a base model and serve what was made of it, by a dated table with sources."""
