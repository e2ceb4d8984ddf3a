"""The error of a quick way of reading that is not enough."""

from __future__ import annotations


class Doubt(Exception):
    """The rows so far may be others than those that the careful way gives: it has to read the file from its start."""
