"""Finds managed identities that sign in to Key Vault or Storage and then change Azure."""
