"""Decoding: from the bytes of an export or an API answer to the rows of a table."""
