"""What the `readmit` command does, a module a command."""
