"""Benchmarks: the cost of a run compared with JSON decoding and other engines, and its growth.

`python -m bench` generates recorded folders, measures runs and checks targets; see
`bench/__main__.py`.
"""
