"""What notifier knows and decides, free of any framework."""
