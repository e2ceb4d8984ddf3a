"""The application for `celery -A workers.celery_app`; it is made in `workers.worker.celery_app`."""

from workers.worker.celery_app import app

__all__ = ["app"]
