"""Readmit in containers: what `docker-compose.yml` and the image's health check run."""
