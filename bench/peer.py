"""FastAPI beside this application: its packages in an environment of their own, and its server."""

import base64
import hashlib
import hmac
import json
import subprocess
import sys
import time

import click

from bench.site import Process, Site

PACKAGES = (
    "fastapi==0.124.4",
    "uvicorn[standard]==0.38.0",
    "sqlmodel==0.0.27",
    "psycopg[binary]==3.3.2",
    "pyjwt==2.10.1",
)
KEY = b"0123456789abcdef0123456789abcdef"  # as in bench/peer_app.py


def start_peer(made: Site) -> Process:
    """Install FastAPI in an environment of its own, and serve `bench/peer_app.py` by uvicorn."""
    environment = made.folder / "peer"
    click.echo("Installing FastAPI …", err=True)
    subprocess.run([sys.executable, "-m", "venv", environment], check=True)
    python = str(environment / "bin" / "python")
    subprocess.run([python, "-m", "pip", "install", "-q", *PACKAGES], check=True)
    url = made.env["DATABASE_URL"].replace("postgresql://", "postgresql+psycopg://")
    return made.start(
        "bench.peer_app:app",
        command=("-m", "uvicorn", "--no-access-log", "--host", "127.0.0.1", "--port"),
        bind="{port}",
        python=python,
        env={"PEER_DATABASE_URL": url},
    )


def jwt_of(user_id: int) -> str:
    """Return a JWT, signed with HS256, that names this user for an hour."""
    payload = {"sub": str(user_id), "exp": int(time.time()) + 3600}
    parts = [_encoded(json.dumps(part).encode()) for part in ({"alg": "HS256"}, payload)]
    signed = ".".join(parts)
    return f"{signed}.{_encoded(hmac.new(KEY, signed.encode(), hashlib.sha256).digest())}"


def _encoded(data: bytes) -> str:
    return base64.urlsafe_b64encode(data).rstrip(b"=").decode()
