"""What is wrong with the proxies in front: logged once, and kept in Redis for `manage.py check`."""

import asyncio
import logging
import time
from collections.abc import Iterable
from contextlib import suppress
from dataclasses import dataclass

from redis.asyncio import Redis

from app.away import REDIS_AWAY
from app.config import DAY, MINUTE, Config

logger = logging.getLogger(__name__)

# A hash in Redis: what web processes have seen, and when, in seconds since 1970.
SEEN_KEY = "proxies:seen"

SEND_IP = (
    "nginx: `proxy_set_header X-Forwarded-For $proxy_add_x_forwarded_for;`. Caddy and Apache send "
    "it by themselves (`reverse_proxy`; mod_proxy with `ProxyAddHeaders On`)."
)
SEND_SCHEME = (
    "nginx: `proxy_set_header X-Forwarded-Proto $scheme;`. Caddy sends it by itself "
    "(`reverse_proxy`). Apache: "
    '`RequestHeader set X-Forwarded-Proto "expr=%{REQUEST_SCHEME}"`.'
)
SHARED = (
    "So the clients' ips are unknown: everybody together shares the limits per ip, which are wider "
    "meanwhile, and lists of sessions show no ip."
)
EXPLAINED = (
    "So http and https look the same, and every page answers with an error that names the header "
    "to set."
)

# What requests show that arrive as they should.
IP, HOPS, SCHEME, HTTPS = "ip", "hops", "scheme", "https"


@dataclass(frozen=True, slots=True)
class Sign:
    """Something wrong that a request shows.

    `text` may name {proxies}, the value of TRUSTED_PROXIES. `cured_by` is what a request shows for
    which this was put right.
    """

    id: str
    name: str
    text: str
    hint: str
    cured_by: str


NO_IP = Sign(
    "qb.W030",
    "no-ip",
    "Requests arrive without X-Forwarded-For although TRUSTED_PROXIES is {proxies}. " + SHARED,
    f"Let the proxy send it. {SEND_IP}",
    IP,
)
UNREADABLE_IP = Sign(
    "qb.W031",
    "unreadable-ip",
    "The outermost proxy's entry in X-Forwarded-For (or Forwarded) is not an ip. " + SHARED,
    f"Let the proxy send the client's ip. {SEND_IP}",
    IP,
)
FEW_HOPS = Sign(
    "qb.W032",
    "few-hops",
    "Requests came through fewer proxies than TRUSTED_PROXIES, which is {proxies}, so clients can "
    "forge their ip.",
    "Set TRUSTED_PROXIES to the number of proxies that add to X-Forwarded-For.",
    HOPS,
)
MANY_HOPS = Sign(
    "qb.W033",
    "many-hops",
    "Many requests in a row came through more proxies than TRUSTED_PROXIES, which is {proxies}, so "
    "everybody may appear to have a proxy's ip.",
    "If there are that many proxies, set TRUSTED_PROXIES to their number. If not, clients sent "
    "X-Forwarded-For themselves, and it was rightly ignored.",
    HOPS,
)
NOT_TRUSTED = Sign(
    "qb.W034",
    "not-trusted",
    "Requests arrive with headers of a proxy, which are ignored because TRUSTED_PROXIES is 0. If "
    "there is a proxy, all clients appear to have its ip and share its limits.",
    "If this server is behind proxies, set TRUSTED_PROXIES to their number.",
    IP,
)
PREFIX = Sign(
    "qb.W035",
    "prefix",
    "The proxy sends X-Forwarded-Prefix, which is ignored: the site cannot be served below a path, "
    "and its links lead to the top of the host.",
    "Give the site a host name of its own, such as https://app.example.com.",
    "",
)
HTTPS_OUTSIDE = Sign(
    "qb.W036",
    "https-outside",
    "People come by https, but BASE_URL begins with http://, so mailed links do too, and cookies "
    "are not Secure.",
    "Let BASE_URL begin with https://.",
    "",
)
DISAGREE = Sign(
    "qb.W037",
    "disagree",
    "Requests arrive with both X-Forwarded-* and Forwarded, which disagree. X-Forwarded-* is "
    "believed.",
    "Let the proxy send one of them, and remove the other: it may have come from the client. "
    'nginx: `proxy_set_header Forwarded "";`.',
    "",
)
NO_SCHEME = Sign(
    "qb.E030",
    "no-scheme",
    "BASE_URL is https, but requests arrive without X-Forwarded-Proto. " + EXPLAINED,
    f"Let the proxy send it. {SEND_SCHEME}",
    SCHEME,
)
UNREADABLE_SCHEME = Sign(
    "qb.E031",
    "unreadable-scheme",
    "Requests arrive with an X-Forwarded-Proto (or proto= in Forwarded) that is neither http nor "
    "https. " + EXPLAINED,
    f"Let the proxy send the scheme. {SEND_SCHEME}",
    SCHEME,
)
LOOP = Sign(
    "qb.W038",
    "loop",
    "Requests look like http although the browser used https, or the redirect to https was "
    "followed again and again: a redirect loop. They are answered with an error that names the "
    "header to set.",
    "If pages open by https, a single client sent something odd, and nothing is wrong. If not: let "
    "the proxy that ends TLS send X-Forwarded-Proto, and proxies behind it pass it on "
    f"unchanged (nginx: `proxy_set_header X-Forwarded-Proto $http_x_forwarded_proto;`), and set "
    f"TRUSTED_PROXIES to their number. {SEND_SCHEME}",
    HTTPS,
)

SIGNS = (
    NO_IP,
    UNREADABLE_IP,
    FEW_HOPS,
    MANY_HOPS,
    NOT_TRUSTED,
    PREFIX,
    HTTPS_OUTSIDE,
    DISAGREE,
    NO_SCHEME,
    UNREADABLE_SCHEME,
    LOOP,
)


class Sightings:
    """What this process has seen of the proxies.

    Logs each kind of fault once. In production, also stores in Redis when it was last seen, at most
    once a minute, in the background: a request neither waits for that nor fails with it.
    """

    def __init__(self, redis: Redis, settings: Config) -> None:
        self.settings = settings
        self._redis = redis
        self._logged: set[str] = set()
        self._stored: dict[str, float] = {}
        self._tasks: set[asyncio.Task[None]] = set()

    def report(self, sign: Sign, arrived: str) -> None:
        """Log a fault unless this process has, with what arrived, and store it."""
        if sign.name not in self._logged:
            self._logged.add(sign.name)
            text = sign.text.format(proxies=self.settings.TRUSTED_PROXIES)
            logger.error("%s %s This request came %s.", text, sign.hint, arrived)
        self.note([sign.name])

    def note(self, names: Iterable[str]) -> None:
        """Store that these were seen now."""
        now = time.time()
        due = [name for name in names if now - self._stored.get(name, 0) >= MINUTE]
        if due and self.settings.PRODUCTION:
            self._stored |= dict.fromkeys(due, now)
            task = asyncio.create_task(self._store(due, now))
            self._tasks.add(task)
            task.add_done_callback(self._tasks.discard)

    async def _store(self, names: list[str], now: float) -> None:
        with suppress(*REDIS_AWAY):
            async with asyncio.timeout(self.settings.REDIS_TIMEOUT):
                key = self.settings.redis_key(SEEN_KEY)
                async with self._redis.pipeline(transaction=False) as pipe:
                    pipe.hset(key, mapping=dict.fromkeys(names, int(now)))
                    pipe.expire(key, DAY)
                    await pipe.execute()
