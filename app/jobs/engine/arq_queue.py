"""The queue of this worker in Redis, out of which arq opens slots for jobs."""

from collections.abc import Collection

from arq import constants
from arq.connections import ArqRedis
from arq.jobs import serialize_job
from arq.utils import timestamp_ms

from app.config import DAY, HOUR
from app.redis import serialize

# The name of arq's only function here: its argument is the name of a slot.
RUN = "run"

# The beginning of the names of queues, which the worker's own name completes.
QUEUE = "arq:queue"

# A member of the queue that is due in the far future. `arq --burst` ends when its queue is empty,
# so this one stays in it until the database has no due job left.
SENTINEL = "burst"


class ArqQueue:
    """One worker's own queue. It holds names of slots alone, so losing it loses no job.

    arq's constants are read at each use: they begin with REDIS_PREFIX, see `app.patches.arq_keys`.
    """

    def __init__(self, redis: ArqRedis) -> None:
        self._redis = redis
        self._name = redis.default_queue_name

    async def open(self) -> None:
        """Put the sentinel in. A queue whose worker was killed expires after a day."""
        await self._redis.zadd(self._name, {SENTINEL: timestamp_ms() + DAY * 1000})
        await self._redis.expire(self._name, DAY)

    async def ask_for(
        self, slots: Collection[str], *, opened: Collection[str], again: bool = False
    ) -> None:
        """Have arq open slots: hand it their names as its `enqueue_job` does, in one round trip.

        Those that it has `opened` are taken out, or it would look at them at every poll. Asking
        `again` restores what Redis has forgotten, and clears the mark of a start whose answer arq
        never got.
        """
        if not (slots or (opened and again)):
            return
        now = timestamp_ms()
        async with self._redis.pipeline(transaction=False) as pipe:
            for slot in slots:
                payload = serialize_job(RUN, (slot,), {}, None, now, serializer=serialize)
                pipe.psetex(constants.job_key_prefix + slot, HOUR * 1000, payload)
                if again:
                    pipe.delete(constants.in_progress_key_prefix + slot)
            if slots:
                pipe.zadd(self._name, dict.fromkeys(slots, now))
            if opened:
                pipe.zrem(self._name, *opened)
            await pipe.execute()

    async def end_burst(self) -> None:
        """Take the sentinel out, so that `arq --burst` ends."""
        await self._redis.zrem(self._name, SENTINEL)

    async def delete(self) -> None:
        """Delete the queue of a worker that stops."""
        await self._redis.delete(self._name)
