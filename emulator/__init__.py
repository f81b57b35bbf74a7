"""A stand-in for Azure on this machine: a workspace that is queried and takes rows, and the app.

It is a tool for people who try the product and for its tests, and is not deployed.
"""
