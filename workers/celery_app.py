"""Where `celery -A workers.celery_app` finds the application; it is made in `workers.worker.celery_app`."""

from workers.worker.celery_app import app

__all__ = ["app"]
