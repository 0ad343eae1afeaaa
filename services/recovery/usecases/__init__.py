"""What recovery does, one module each, over the ports."""
