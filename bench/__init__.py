"""Benchmarks: what a run costs beside merely decoding the same JSON, and how that grows.

`python -m bench` generates recorded folders, measures and judges; see `bench/__main__.py`.
"""
