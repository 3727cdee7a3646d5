"""A store in a bucket, through fsspec: `s3://`, and by the same code `gs://`, `az://`, `abfs://`.

Create-only is the service's own precondition (`If-None-Match: *` on S3, on the completion of a
multipart upload too). When a reply is lost the request is sent again, by us or unseen by the HTTP
client below (aiohttp does), and then finds the key taken, perhaps by us. On S3 each create
therefore leaves a nonce in the object's metadata, which tells; elsewhere the bytes are compared.

S3 is tested against a server. Google Cloud Storage and Azure go through gcsfs and adlfs, whose
create mode sends the service's precondition, but nobody has run this against them: `probe` first.
"""

import logging
import random
import secrets
import time
from collections.abc import Callable, Iterator, Mapping
from datetime import datetime
from functools import cached_property
from typing import TypeVar

import fsspec
from fsspec.core import url_to_fs

from manifests.errors import ConfigError, NotInStore, ServiceError, StoreFull
from manifests.stores.keys import DiskRoom, ObjectInfo, checked_key, checked_prefix

LOGGER = logging.getLogger(__name__)

PART_BYTES = 16 * 2**20
"""Size of an upload's parts; objects of twice this and more go up in parts."""
ATTEMPTS = 9
BACKOFF_SECONDS = (0.1, 8.0)
"""First and longest wait between attempts, each drawn from 0 up to it: about 10 s in all."""

_TRANSIENT_STATUS = {408, 409, 429, 500, 502, 503, 504}
_DENIED_STATUS = {401, 403}

_NONCE = "writer"

T = TypeVar("T")


class ObjectStore:
    """Objects below a prefix of a bucket; credentials and endpoint as the service's tools take
    them from the environment (`AWS_ENDPOINT_URL`, `AWS_ACCESS_KEY_ID`, ...).
    """

    def __init__(self, url: str) -> None:
        self._url = url.rstrip("/")
        self._on_s3 = url.startswith("s3://")

    def __reduce__(self) -> tuple[type["ObjectStore"], tuple[str]]:
        return ObjectStore, (self._url,)

    @property
    def url(self) -> str:
        return self._url

    def check(self) -> None:
        """Raise ConfigError unless the bucket answers to these credentials."""
        bucket = self._root.partition("/")[0]
        try:
            self._retrying(lambda: self._files.info(bucket))
        except FileNotFoundError:
            raise ConfigError(f"{self.url}: there is no bucket {bucket}; create it first") from None
        except (ConfigError, ServiceError):
            raise
        except Exception as error:
            raise ConfigError(f"{self.url}: cannot be used: {_one_line(error)}") from error

    def put(self, key: str, data: bytes) -> None:
        path = self._path(key)
        self._retrying(lambda: self._upload(path, data, "overwrite", {}))

    def create(self, key: str, data: bytes) -> bool:
        path = self._path(key)
        nonce = secrets.token_hex(16)
        return self._retrying(lambda: self._create_once(path, data, nonce))

    def get(self, key: str) -> bytes:
        # One request even for a big object: ranged reads could mix two versions of one.
        options = {"max_concurrency": 1} if self._on_s3 else {}
        path = self._path(key)
        try:
            data: bytes = self._retrying(lambda: self._files.cat_file(path, **options))
        except FileNotFoundError:
            raise NotInStore(f"no object {key} in {self.url}") from None
        return data

    def exists(self, key: str) -> bool:
        path = self._path(key)
        try:
            return bool(self._retrying(lambda: self._files.info(path))["type"] == "file")
        except FileNotFoundError:
            return False

    def info(self, key: str) -> ObjectInfo:
        path = self._path(key)
        try:
            found = self._retrying(lambda: self._files.info(path))
        except FileNotFoundError:
            found = {"type": "absent"}
        if found["type"] != "file":
            raise NotInStore(f"no object {key} in {self.url}")
        return ObjectInfo(bytes=int(found["size"]), modified=_modified(found))

    def room(self) -> DiskRoom | None:
        return None

    def list(self, prefix: str) -> Iterator[str]:
        top = f"{self._root}/{checked_prefix(prefix)}"
        try:
            found = self._retrying(lambda: self._files.find(top))
        except FileNotFoundError:
            found = []
        inside = len(self._root) + 1
        return iter(sorted(path[inside:] for path in found if path.startswith(top)))

    def delete(self, key: str) -> None:
        path = self._path(key)
        try:
            self._retrying(lambda: self._files.rm_file(path))
        except FileNotFoundError:
            return

    @cached_property
    def _opened(self) -> tuple[fsspec.AbstractFileSystem, str]:
        options: dict[str, object] = {"use_listings_cache": False, "skip_instance_cache": True}
        if self._on_s3:
            options["config_kwargs"] = {"retries": {"total_max_attempts": 1}}
        try:
            files, root = url_to_fs(self._url, **options)
        except ImportError as error:
            raise ConfigError(f"{self.url}: {_one_line(error)}") from error
        if self._on_s3:
            files.retries = 1
        return files, root.rstrip("/")

    @property
    def _files(self) -> fsspec.AbstractFileSystem:
        return self._opened[0]

    @property
    def _root(self) -> str:
        return self._opened[1]

    def _path(self, key: str) -> str:
        return f"{self._root}/{checked_key(key)}"

    def _create_once(self, path: str, data: bytes, nonce: str) -> bool:
        try:
            self._upload(path, data, "create", {"Metadata": {_NONCE: nonce}} if self._on_s3 else {})
        except Exception as error:
            if not (isinstance(error, FileExistsError) or _status(error) == 412):
                raise
            if self._on_s3:
                return bool(self._files.metadata(path).get(_NONCE) == nonce)
            return bool(self._files.cat_file(path) == data)
        return True

    def _upload(self, path: str, data: bytes, mode: str, options: dict[str, object]) -> None:
        if self._on_s3:
            options = {"chunksize": PART_BYTES, **options}
        try:
            self._files.pipe_file(path, data, mode=mode, **options)
        except FileNotFoundError as error:
            # When completing a multipart upload fails, s3fs aborts it. Where the service has
            # already forgotten the upload, that second error hides the first, which matters.
            first = error.__context__
            if _code(error) == "NoSuchUpload" and isinstance(first, Exception):
                raise first from first.__cause__
            raise

    def _retrying(self, action: Callable[[], T]) -> T:
        """What `action` gives, tried again while the service is only busy or away. Nobody else
        does: the retries of s3fs and botocore are off.
        """
        first, longest = BACKOFF_SECONDS
        for attempt in range(ATTEMPTS):
            try:
                return action()
            except Exception as error:
                if not self._is_transient(error):
                    self._explain(error)
                    raise
                LOGGER.info("%s: attempt %d: %s", self.url, attempt + 1, _one_line(error))
                last = error
            time.sleep(random.uniform(0, min(longest, first * 2**attempt)))
        raise ServiceError(
            f"{self.url}: no answer after {ATTEMPTS} attempts: {_one_line(last)}"
        ) from last

    def _is_transient(self, error: Exception) -> bool:
        if _status(error) in _TRANSIENT_STATUS or isinstance(error, ConnectionError | TimeoutError):
            return True
        if not self._on_s3:
            return False
        from botocore.exceptions import ConnectionError as NoConnection
        from s3fs.core import S3_RETRYABLE_ERRORS

        return isinstance(error, (NoConnection, *S3_RETRYABLE_ERRORS))

    def _explain(self, error: Exception) -> None:
        """Raise this project's error for it, if there is one."""
        what = _one_line(error)
        if _status(error) == 507 or _code(error) == "QuotaExceeded":
            raise StoreFull(f"{self.url}: {what}; free space there and run again") from error
        if _code(error) == "NoSuchBucket":
            raise ConfigError(f"{self.url}: there is no such bucket; create it first") from error
        if isinstance(error, PermissionError) or _status(error) in _DENIED_STATUS:
            raise ConfigError(f"{self.url}: denied ({what}); check the credentials") from error


def _modified(found: Mapping[str, object]) -> float:
    """Seconds since 1970, as s3fs, gcsfs and adlfs tell it."""
    told = next(
        found[name] for name in ("LastModified", "updated", "last_modified") if name in found
    )
    moment = told if isinstance(told, datetime) else datetime.fromisoformat(str(told))
    return moment.timestamp()


def _response(error: BaseException) -> dict[str, dict[str, object]]:
    """The S3 answer behind an error that s3fs translated."""
    for source in (error, error.__cause__):
        response = getattr(source, "response", None)
        if isinstance(response, dict):
            return response
    return {}


def _status(error: BaseException) -> int | None:
    status = _response(error).get("ResponseMetadata", {}).get("HTTPStatusCode")
    for candidate in (status, getattr(error, "code", None), getattr(error, "status_code", None)):
        if isinstance(candidate, int):
            return candidate
    return None


def _code(error: BaseException) -> str:
    return str(_response(error).get("Error", {}).get("Code", ""))


def _one_line(error: BaseException) -> str:
    return " ".join(f"{type(error).__name__}: {error}".split())[:300]
