"""Live data: what a window of a workspace costs, read over HTTP from a stand-in on loopback.

`python -m bench.live` measures; see `bench/live/__main__.py`.
"""
