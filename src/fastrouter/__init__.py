"""The HTTP routing tier of Cloud Foundry, in Python."""

# The one place where the version stands; pyproject.toml reads it from here. Nothing is imported here: the first log
# line must be out within 0.5 s, and `import fastrouter` is part of that.
__version__ = "0.2.0"
