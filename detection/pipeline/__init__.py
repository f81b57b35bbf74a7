"""What happens in a run: one invocation for all workspaces, down to one window."""
