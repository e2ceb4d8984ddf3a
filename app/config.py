"""Settings, read from the environment once, by entry points only, and then passed on."""

from __future__ import annotations

import hashlib
import os
import tempfile
from pathlib import Path

from pydantic import Field, model_validator
from pydantic_settings import BaseSettings, SettingsConfigDict

from app.process import machine_memory_bytes, processors

MOST_LANES, _MOST_LANES_BY_DEFAULT = 64, 16
NO_RAY = "EXECUTOR=ray needs the package ray: pip install -r requirements-ray.lock."
"""What the parts say that need it where it is missing."""


_FILE = os.environ.get("SETTINGS_FILE") or None
"""A file of `NAME=value` lines; the environment goes before it. It is read again for each `Settings()`."""


class Settings(BaseSettings):
    """Every setting and its environment variable (the field's name in capitals). Sizes in bytes, times in seconds."""

    model_config = SettingsConfigDict(frozen=True, extra="ignore", env_ignore_empty=True, env_file=_FILE)

    data_dir: Path = Path("data")
    """Holds the registry (SQLite), artifacts, the broker's files, logs and the admin token."""
    database_url: str = ""
    """SQLAlchemy URL; empty: SQLite in the data directory. `postgresql://…` is read as psycopg 3."""
    redis_url: str = ""
    """Broker URL, of Redis; empty, and `broker_url` too: the supervised broker's socket in the data directory."""
    broker_url: str = Field(default="", pattern=r"^((amqps?|rediss?|redis\+socket)://.*)?$")
    """Broker URL, of RabbitMQ (`amqp://user:password@host/vhost`) or Redis; in place of `redis_url`."""
    broker_queue_type: str = Field(default="classic", pattern="^(classic|quorum)$")
    """Queues of RabbitMQ. Quorum: copies on several nodes; priorities are two only, with RabbitMQ before 4.0 none."""
    artifacts_url: str = ""
    """Root of the artifact store: a path shared by all hosts, or `s3://bucket/prefix`, `gs://…`, `az://…`; empty:
    `<data-dir>/artifacts`."""
    cache_dir: Path | None = None
    """What this host has of an object store, and of conversions for ONNX Runtime; None: `<data-dir>/cache`. All
    processes of a host share one."""
    cache_bytes: int = Field(default=32 * 2**30, gt=0)
    """Of the cache. What is in use stays, though it is more."""
    store_patience_s: float = Field(default=600.0, gt=0)
    """How long a job waits for an object store that does not answer, before its attempt fails."""

    host: str = "127.0.0.1"
    port: int = Field(default=8000, ge=0, le=65535)
    grpc_port: int = Field(default=0, ge=0, le=65535)
    """Port of TensorFlow Serving's gRPC services, on `host`; 0: none is opened. TensorFlow Serving's own is 8500."""
    grpc_tls_certificate: Path | None = None
    """PEM file with the port's certificate and those above it; with `grpc_tls_key` the port speaks TLS only."""
    grpc_tls_key: Path | None = None
    grpc_tls_client_ca: Path | None = None
    """PEM file of an authority; only clients with a certificate of it may connect."""
    allowed_hosts: str = ""
    """Further Host names that are answered, with commas; loopback names and `host` always are."""
    allowed_origins: str = ""
    """Browser origins that may call, with commas; none by default."""
    log_level: str = "INFO"
    traces_url: str = Field(default="", pattern="^(https?://.+)?$")
    """Address to which OpenTelemetry's traces are sent by OTLP over HTTP, as `http://collector:4318/v1/traces`; empty:
    nothing is traced."""
    traces_share: float = Field(default=0.01, ge=0, le=1)
    """Of the requests that come without a `traceparent`, which says itself; and of the jobs and predictions in them."""
    max_connections: int = Field(2000, ge=16)
    """Client connections at once, of HTTP and gRPC together; the limit of descriptors of the process may set a lower
    one. One more ends the one that has waited longest for a request, or for a client that showed no
    token."""
    max_connections_per_address: int = Field(1000, ge=1)
    """Of these, connections of one client address (IPv6: of one /64 network). Raise it behind a proxy."""
    keep_alive_s: float = Field(5.0, ge=1, le=3600)
    """How long an HTTP connection may wait for its next request. Above what a proxy in front keeps its own open for,
    else it may send a request into a connection that ends."""
    fast_path: bool = True
    """Answer predictions before an ASGI task is made. False: all go through the admission layer, with four
    times the work."""

    max_upload_bytes: int = 8 * 2**30
    max_body_bytes: int = 32 * 2**20
    """Largest JSON body (predict included), after decompression."""
    max_columns: int = 10_000
    max_queued_jobs: int = 1_000
    body_timeout_s: float = 20.0
    rate_per_s: float = Field(500.0, ge=0)
    """Requests a second of one token, predictions apart (those are bounded by their queue); 0: no limit."""
    rate_burst: int = Field(5_000, ge=1)
    bytes_in_flight: int = Field(128 * 2**20, ge=0)
    """Bytes of JSON bodies of one token in memory at once, after decompression; 0: no limit."""
    event_streams_per_token: int = Field(100, ge=0)
    """Event streams of one token open at once in one API process; 0: no limit."""
    idempotency_ttl_s: float = Field(86_400.0, gt=0)
    event_retention_s: float = Field(90 * 86_400.0, ge=0)
    """Events of a job are kept for so long after its end, the last one for ever; 0: all for ever."""
    metric_retention_s: float = Field(730 * 86_400.0, ge=0)
    """Metric points of a job are kept for so long after its end; 0: for ever."""
    audit_retention_s: float = Field(730 * 86_400.0, ge=0)
    """Entries of the audit are kept for so long; 0: for ever."""

    queues: str = "default"
    """Queues that a worker of this process group serves, with commas."""
    executor: str = Field(default="celery", pattern="^(celery|ray)$")
    """What runs jobs: Celery's workers, or a Ray cluster, on which `python -m workers.on_ray` places them."""
    ray_address: str = Field(default="", pattern=r"^(auto|[^/\s]+:\d+)?$")
    """With `executor=ray`: `host:port` of the cluster's head, or `auto` on one of its nodes."""
    ray_queues: str = ""
    """Queues whose jobs Ray runs, with commas; those of others are Celery's, by the broker. Empty: Ray runs all jobs,
    and there is no broker."""
    ray_device: str = Field(default="CPU", pattern="^(CPU|GPU)$")
    """Which of Ray's resources a job's devices are."""
    ray_name: str = Field(default="estimator", pattern=r"^[\w-]+$")
    """Name of this service on Ray; another one for each service that shares a cluster."""
    queue_caps: str = ""
    """How many jobs of a queue may run at once over all workers, as `gpu=2,nightly=1`; others are not limited."""
    hang_s: float = Field(default=30.0, ge=1)
    """A part of `scripts/serve` that shows no sign of life for so long is killed and started again."""
    worker_slots: int = Field(default=1, ge=1)
    """Worker processes that `scripts/serve` starts, one trainer each."""
    slot_devices: int = Field(default=1, ge=1, le=64)
    """Devices of each worker: GPUs of `gpus`, or parts of the CPU where no GPU is assigned. A worker runs jobs that ask
    for as many or fewer."""
    gang_timeout_s: float = Field(default=60.0, gt=0)
    """Seconds that the workers of a job of several wait for each other before they give their seats back."""
    worker_address: str = ""
    """Name or address by which workers of other hosts reach this one; empty: that of the interface towards the broker
    or the database."""
    gpus: str = Field(default="", pattern=r"^(none|[\w-]+(,[\w-]+)*)?$")
    """GPUs of this host, as `0,1`: each worker takes `slot_devices` that no other holds and waits until there are as
    many. With `scripts/serve` the slots beyond their number have none. `none`: CPU only. Empty: whatever TensorFlow
    finds."""
    lease_s: float = Field(default=15.0, gt=0)
    heartbeat_s: float = Field(default=1.0, gt=0)
    reconcile_s: float = Field(default=1.0, gt=0)
    resend_after_s: float = Field(default=10.0, gt=0)
    """A queued job that no worker claimed is enqueued again after this."""
    orphan_grace_s: float = Field(default=3600.0, gt=0)
    watchdog_s: float = Field(default=20.0, gt=0)
    """A worker that is idle for so long, while messages wait for it, ends itself and is started again."""
    grace_s: float = Field(default=30.0, gt=0)
    """What a stopping worker gets to checkpoint and give its job back."""
    max_parameters: int = 2_000_000_000
    max_attempts: int = 3
    job_timeout_s: float | None = None
    job_memory_bytes: int | None = Field(default=None, ge=0)
    """What a trainer may hold, unless its job asks for another limit; pages of files that it reads are not counted.
    None: nine tenths of the machine's memory; 0: no limit."""
    retry_backoff_s: float = 2.0

    serving_lanes: int = Field(default=0, ge=0, le=MOST_LANES)
    """API processes on this host, each with a predictor; 0: half as many as there are processors for this service, 16
    at most: one on a machine with two or three."""
    predictor: str = Field(default="process", pattern="^(process|none)$")
    predict_timeout_s: float = 10.0
    predict_max_batch_rows: int = 1024
    predict_max_queue_rows: int = 65_536
    predict_rate_per_s: float = Field(0.0, ge=0)
    """Predictions per second of one token; 0: no limit."""
    predict_rows_per_s: float = Field(0.0, ge=0)
    """Instances per second of one token; 0: no limit."""
    predict_rows_in_flight: int = Field(32_768, ge=0)
    """Instances of one token that may wait or run at once, so that it cannot fill the queue; 0: no limit."""
    predict_request_memory: int = Field(2**30, gt=0)
    """Memory that the sequences of one request may take in the predictor once padded, widths of embeddings counted."""
    predict_memory_bytes: int = 4 * 2**30
    serving_poll_s: float = Field(default=0.2, gt=0)
    release_counts_s: float = Field(default=1.0, gt=0)
    """So often an API process writes down what it counted of labels that divide their requests."""

    @model_validator(mode="after")
    def _whole_tls(self) -> Settings:
        """A port with half of its TLS files would be open without TLS."""
        if (self.grpc_tls_certificate is None) != (self.grpc_tls_key is None):
            raise ValueError("GRPC_TLS_CERTIFICATE and GRPC_TLS_KEY go together.")
        if self.grpc_tls_client_ca is not None and self.grpc_tls_key is None:
            raise ValueError("GRPC_TLS_CLIENT_CA needs GRPC_TLS_CERTIFICATE and GRPC_TLS_KEY.")
        return self

    @model_validator(mode="after")
    def _one_broker(self) -> Settings:
        if self.redis_url and self.broker_url:
            raise ValueError("BROKER_URL and REDIS_URL both name a broker; set one of them.")
        if self.broker_queue_type != "classic" and not self.broker_url.startswith("amqp"):
            raise ValueError("BROKER_QUEUE_TYPE is for RabbitMQ; set BROKER_URL=amqp://… as well.")
        return self

    @model_validator(mode="after")
    def _whole_ray(self) -> Settings:
        if self.executor == "ray" and not self.ray_address:
            raise ValueError("EXECUTOR=ray needs RAY_ADDRESS: host:port of the cluster's head, or auto.")
        if self.executor != "ray" and self.ray_queues:
            raise ValueError("RAY_QUEUES is for EXECUTOR=ray.")
        return self

    @model_validator(mode="after")
    def _file_is_there(self) -> Settings:
        if _FILE is not None and not Path(_FILE).is_file():
            raise ValueError(f"SETTINGS_FILE is {_FILE}, where there is no file.")
        return self

    @property
    def sql_url(self) -> str:
        """The database's SQLAlchemy URL with its driver named."""
        url = self.database_url
        if not url:
            return f"sqlite:///{self.data_dir.resolve() / 'registry.db'}"
        for scheme in ("postgresql://", "postgres://"):
            if url.startswith(scheme):
                return "postgresql+psycopg://" + url.removeprefix(scheme)
        return url

    @property
    def broker_socket(self) -> Path:
        """Unix socket of the supervised broker. Socket paths are limited to about 100 bytes, so a deep data directory
        gets a short one, the same each time, in the temporary directory."""
        data_dir = self.data_dir.resolve()
        path = data_dir / "broker" / "broker.sock"
        if len(str(path).encode()) <= 90:
            return path
        name = hashlib.sha256(str(data_dir).encode()).hexdigest()[:16]
        return Path(tempfile.gettempdir()) / f"estimator-{os.getuid()}-{name}" / "broker.sock"

    @property
    def broker_directories(self) -> list[Path]:
        """The directory of the supervised broker's socket; none where the broker is another one."""
        return [self.broker_socket.parent] if self.broker_is_supervised else []

    @property
    def broker_is_supervised(self) -> bool:
        """Whether the service starts a broker of its own."""
        return self.uses_celery and not (self.broker_url or self.redis_url)

    @property
    def uses_celery(self) -> bool:
        """Whether Celery's workers run jobs, those of some queues at least."""
        return self.executor == "celery" or bool(self.ray_queue_names)

    @property
    def broker(self) -> str:
        """Where the broker is, in kombu's form: the configured one, or the supervised broker's socket."""
        return self.broker_url or self.redis_url or f"redis+socket://{self.broker_socket}"

    @property
    def private_directories(self) -> list[Path]:
        """Directories that no other user may reach."""
        found = [self.data_dir.resolve()]
        if "://" not in (artifacts := self.artifacts.removeprefix("file://")):
            found.append(Path(artifacts).resolve())
        else:
            found.append(self.cache_directory)
        return found

    @property
    def private_files(self) -> list[Path]:
        """Files that no other user may open: the registry, and the admin's token."""
        files = [self.data_dir.resolve() / "admin-token"]
        prefix = "sqlite:///"
        if self.sql_url.startswith(prefix) and (path := self.sql_url.removeprefix(prefix).partition("?")[0]):
            files += [Path(path + suffix) for suffix in ("", "-wal", "-shm", "-journal")]
        return files

    @property
    def job_memory_limit(self) -> int | None:
        """What a trainer on this machine may hold, unless its job asks for another limit: `job_memory_bytes`, else
        nine tenths of the machine's memory; None: no limit."""
        if self.job_memory_bytes is not None:
            return self.job_memory_bytes or None
        return machine_memory_bytes() * 9 // 10

    @property
    def artifacts(self) -> str:
        return self.artifacts_url or str(self.data_dir.resolve() / "artifacts")

    @property
    def cache_directory(self) -> Path:
        return (self.cache_dir or self.data_dir / "cache").resolve()

    @property
    def lanes(self) -> int:
        """Number of lanes on this host. A lane is two processes that take turns, and trainings want a processor too."""
        return self.serving_lanes or max(1, min(_MOST_LANES_BY_DEFAULT, processors() // 2))

    @property
    def queue_caps_by_name(self) -> dict[str, int]:
        pairs = (part.partition("=") for part in self.queue_caps.split(",") if part.strip())
        return {name.strip(): int(cap) for name, _, cap in pairs}

    @property
    def gpu_names(self) -> list[str]:
        """The GPUs to choose from; none where none is assigned."""
        return [] if self.gpus in ("", "none") else self.gpus.split(",")

    @property
    def queue_names(self) -> list[str]:
        return _names(self.queues)

    @property
    def ray_queue_names(self) -> list[str]:
        return _names(self.ray_queues)


def _names(listed: str) -> list[str]:
    return [name for name in (part.strip() for part in listed.split(",")) if name]
