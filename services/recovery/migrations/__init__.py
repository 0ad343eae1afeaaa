"""Alembic revisions of recovery's database."""
