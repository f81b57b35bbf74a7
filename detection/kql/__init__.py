"""The only KQL that there is, one file a query, and render.py, which fills it in."""
