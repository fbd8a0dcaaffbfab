# One image for the API, the workers and the command line:
#   docker run IMAGE                                the API on port 8000
#   docker run IMAGE python -m consumers route      a worker
#   docker run IMAGE carillon lag                   the command line
# In your own registry pin the base by digest as well as by tag: a tag can be moved.

FROM python:3.11-slim AS packages

RUN ["python", "-m", "venv", "/opt/venv"]
COPY requirements.txt /tmp/requirements.txt
# Every file is checked against the lock, and nothing is built: no code of a package runs here.
RUN ["/opt/venv/bin/pip", "install", "--no-cache-dir", "--disable-pip-version-check", \
     "--require-hashes", "--no-deps", "--only-binary", ":all:", "-r", "/tmp/requirements.txt"]
COPY --chmod=755 deploy/carillon /opt/venv/bin/carillon

WORKDIR /app
COPY api api
COPY consumers consumers
COPY infrastructure infrastructure
COPY schemas schemas
COPY deploy/types deploy/types
RUN ["/opt/venv/bin/python", "-m", "compileall", "-q", "/app"]


FROM python:3.11-slim

COPY --from=packages /opt/venv /opt/venv
COPY --from=packages /app /app

# The files belong to root and the process does not, so it cannot change its own code.
USER 10001:10001
WORKDIR /app
ENV PATH=/opt/venv/bin:/usr/local/bin:/usr/bin:/bin \
    PYTHONPATH=/app \
    PYTHONDONTWRITEBYTECODE=1 \
    PYTHONUNBUFFERED=1 \
    HOST=0.0.0.0 \
    PORT=8000

EXPOSE 8000
# Liveness of the API; workers override it with their own port (docker-compose.yml shows how).
HEALTHCHECK --interval=10s --timeout=5s --start-period=20s --retries=3 \
    CMD ["python", "-c", "import os, urllib.request as u; u.urlopen(f\"http://127.0.0.1:{os.environ['PORT']}/livez\", timeout=4)"]
CMD ["python", "-m", "api"]
