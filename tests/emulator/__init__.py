"""Tests of the emulated workspace and of the app that runs on it."""
