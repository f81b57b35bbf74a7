"""One run: an invocation for all workspaces, down to one window of one workspace."""
