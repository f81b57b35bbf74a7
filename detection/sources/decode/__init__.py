"""Bytes of an export or an answer, to the rows of a table."""
