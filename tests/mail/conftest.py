"""Settings for a mail server on this machine, and a certificate for it."""

import shutil
import ssl
import subprocess
from collections.abc import AsyncIterator
from pathlib import Path

import pytest

from app.config import Config
from tests.conftest import MakeApp


@pytest.fixture
async def smtp_settings(make_app: MakeApp) -> AsyncIterator[Config]:
    """Return settings for a server on this machine, without TLS."""
    app = make_app()
    async with app.app_context():
        settings: Config = app.extensions["settings"]
        settings.MAIL_SERVER, settings.MAIL_USE_TLS, settings.MAIL_TIMEOUT = "localhost", False, 2
        yield settings


@pytest.fixture(scope="session")
def certificate(tmp_path_factory: pytest.TempPathFactory) -> tuple[Path, ssl.SSLContext]:
    """Make a self-signed certificate for localhost, and a server's context with it."""
    if shutil.which("openssl") is None:
        pytest.skip("there is no openssl here to make a certificate")
    folder = tmp_path_factory.mktemp("certificate")
    key, certificate = folder / "key.pem", folder / "certificate.pem"
    made = (
        "req -x509 -newkey ec -pkeyopt ec_paramgen_curve:prime256v1 -nodes -days 2 -subj "
        "/CN=localhost"
    )
    names = [
        "-addext",
        "subjectAltName=DNS:localhost",
        "-keyout",
        str(key),
        "-out",
        str(certificate),
    ]
    subprocess.run(["openssl", *made.split(), *names], check=True, capture_output=True)
    context = ssl.create_default_context(ssl.Purpose.CLIENT_AUTH)
    context.load_cert_chain(certificate, key)
    return certificate, context
