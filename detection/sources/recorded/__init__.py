"""Recorded folders: reading one, recording one, pseudonyms."""
