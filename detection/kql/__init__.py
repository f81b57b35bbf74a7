"""All KQL of the product, one file for each query, and render.py, which fills it in."""
