from tests.servers_fixtures import (
    postgres_server,
    postgres_template,
    postgres_url,
    redis_server,
)

__all__ = ["postgres_server", "postgres_template", "postgres_url", "redis_server"]
