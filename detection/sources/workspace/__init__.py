"""A Log Analytics workspace as a source of log rows."""
