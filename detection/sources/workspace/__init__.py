"""Reads a window from a Log Analytics workspace: its log rows, or the groups of its cluster."""
