"""Recorded folders: reading one, writing one, and the pseudonyms that make one shareable."""
