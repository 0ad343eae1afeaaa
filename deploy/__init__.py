"""How Readmit is started, here and elsewhere: the command, the embedded stack, the demo."""
