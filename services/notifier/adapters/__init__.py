"""PostgreSQL, Jinja2, gettext and SMTP behind the ports."""
