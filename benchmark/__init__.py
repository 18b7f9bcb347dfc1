"""The harness: it knows the contracts, never a concrete method. Imports nothing heavy."""

__version__ = "0.1.0"
