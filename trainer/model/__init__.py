"""The model: its configuration, its layout over ranks, how it is built and what it takes."""
