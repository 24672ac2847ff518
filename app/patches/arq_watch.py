"""arq 0.28 on redis-py 5.3: a connection lost while a key is watched ends the worker.

Before arq starts a job it watches the job's key, so that no other worker starts the same job. When
the connection breaks at that moment, redis-py raises `WatchError` whatever its retries say, and the
worker ends (compare https://github.com/python-arq/arq/issues/435). Here each worker has a queue of
its own, so no other worker can start its jobs, and nothing needs to be watched.
"""

from collections.abc import Callable
from typing import Any

from arq.connections import ArqRedis
from redis.asyncio.client import Pipeline


class UnwatchedPipeline(Pipeline):
    """A pipeline that watches no key, so a lost connection is retried as for any command."""

    _immediate = False

    async def watch(self, *names: Any) -> None:  # type: ignore[override]  # of both kinds of clients
        """Send each command at once until `multi`, as after a real WATCH. Watches nothing."""
        self._immediate = True

    def execute_command(self, *args: Any, **options: Any) -> Any:
        """Send a command now, or queue it for `execute`."""
        now = self._immediate and not self.explicit_transaction
        send: Callable[..., Any] = (
            self.immediate_execute_command if now else self.pipeline_execute_command
        )
        return send(*args, **options)


class UnwatchedArqRedis(ArqRedis):
    """arq's client, with pipelines that outlive a connection."""

    def pipeline(self, transaction: bool = True, shard_hint: str | None = None) -> Pipeline:
        """Return a pipeline whose `watch` watches nothing."""
        return UnwatchedPipeline(
            self.connection_pool, self.response_callbacks, transaction, shard_hint
        )
