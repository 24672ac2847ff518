# One image for the web server, the worker and the migrations: compose.yaml runs it as all three.

FROM python:3.13-slim AS build
WORKDIR /build
RUN python -m venv --without-pip /opt/venv
COPY pyproject.toml constraints.txt ./
# The dependencies alone, so that this layer lasts until they change. Wheels alone, so that nothing needs a compiler.
RUN python -c "import tomllib; print(*tomllib.load(open('pyproject.toml', 'rb'))['project']['dependencies'], sep='\n')" \
        > requirements.txt \
    && pip --python /opt/venv/bin/python install --no-cache-dir --only-binary :all: -c constraints.txt -r requirements.txt

FROM python:3.13-slim
ENV PATH=/opt/venv/bin:$PATH \
    PYTHONUNBUFFERED=1 \
    QUART_CONFIG=production \
    INSTANCE_PATH=/var/lib/quart-base
RUN groupadd --gid 10001 quart-base \
    && useradd --uid 10001 --gid 10001 --no-create-home --home-dir /var/lib/quart-base --shell /usr/sbin/nologin quart-base \
    && install -d -o quart-base -g quart-base -m 0700 /var/lib/quart-base
COPY --from=build /opt/venv /opt/venv
WORKDIR /srv/quart-base
# What runs, by name: a new folder at the top level is added here and in .dockerignore.
COPY alembic.ini hypercorn.toml manage.py worker.py ./
COPY alembic alembic
COPY app app
# Compiled once rather than at every start, and readable whatever the umask of the checkout was.
RUN python -m compileall -q . && chmod -R a+rX .
USER 10001:10001
EXPOSE 8000
STOPSIGNAL SIGTERM
# Without the proxy that the environment may name.
HEALTHCHECK --interval=30s --timeout=5s --start-period=30s --retries=3 CMD ["python", "-c", \
    "from urllib.request import *; build_opener(ProxyHandler({})).open('http://127.0.0.1:8000/livez', timeout=4)"]
CMD ["hypercorn", "-c", "hypercorn.toml", "-b", "0.0.0.0:8000", "app.asgi:app"]
