"""Connections to a service's PostgreSQL."""

from __future__ import annotations

from sqlalchemy import URL, make_url
from sqlalchemy.ext.asyncio import AsyncEngine, create_async_engine


def async_url(url: str) -> URL:
    """The SQLAlchemy form of a `postgresql://` URL; the form that asyncpg itself accepts is the published one.

    Raises:
        ValueError: it is not a PostgreSQL URL.
    """
    parsed = make_url(url)
    if parsed.drivername.split("+")[0] not in {"postgresql", "postgres"}:
        raise ValueError("must begin with postgresql://")
    return parsed.set(drivername="postgresql+asyncpg")


def create_engine(url: str, *, pool_size: int, application_name: str) -> AsyncEngine:
    """An engine with a bounded pool; connections are checked before use, so a restarted server is noticed at once."""
    return create_async_engine(
        async_url(url),
        pool_size=pool_size,
        max_overflow=4,
        pool_timeout=5,  # seconds; a request that can't get one answers 503 rather than piling up
        pool_pre_ping=False,
        pool_recycle=1800,
        hide_parameters=True,  # bound values are personal data, and SQLAlchemy puts them into exception texts
        connect_args={
            "timeout": 5,
            "command_timeout": 30,
            "server_settings": {"application_name": application_name, "jit": "off"},
        },
    )
