"""The outside of recovery: PostgreSQL, enrichment, grants, mail."""
