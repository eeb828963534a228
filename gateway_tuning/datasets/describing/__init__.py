"""What a dataset's card says, measured in one pass, and how it is shown."""
