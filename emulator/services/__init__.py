"""The emulated services of Azure, each over HTTP on the loopback interface."""
