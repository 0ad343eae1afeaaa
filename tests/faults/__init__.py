"""What is killed, and what must be there all the same."""
