"""Audit: records every event in an append-only Merkle log, and answers what happened."""
