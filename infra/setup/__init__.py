"""Making a fresh machine ready: environments from the locks, the packaged models.

Only the standard library is used here, because this runs before anything is installed.
"""
