"""Work accepted, scheduled and done: by threads of this process, or by Celery."""
