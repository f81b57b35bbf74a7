"""The cost of a window of a workspace, read over HTTP from a stand-in on loopback.

`python -m bench.live` measures; see `bench/live/__main__.py`.
"""
