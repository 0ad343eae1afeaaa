"""The rules of recovery: accounts, permissions, codes, and what ends an action. No framework, no clock of its own."""
