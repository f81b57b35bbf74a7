"""Reads the log rows of a window, or their correlation, from a Log Analytics workspace."""
