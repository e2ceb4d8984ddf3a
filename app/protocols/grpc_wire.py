"""gRPC's form in HTTP/2: a call's headers, its messages' frames, and the status behind an answer.

Form of each: gRPC's "PROTOCOL-HTTP2" document.
"""

from __future__ import annotations

import hashlib
import re
import zlib
from collections.abc import Mapping, Sequence
from typing import NamedTuple
from urllib.parse import quote

from app.errors import InvalidInput, TooLarge
from app.http2.header_blocks import STATUS_200, MalformedRequest, encode_literals
from app.protocols.rpc_methods import Answer, Status

PREFIX_BYTES = 5
"""Of a message: whether it is compressed, and its length."""
_CONTENT_TYPE = b"application/grpc"
_ENCODINGS = (b"identity", b"deflate", b"gzip")
_ACCEPT = (b"grpc-accept-encoding", b", ".join(_ENCODINGS))
_WINDOW_BITS = {b"gzip": 31, b"deflate": 15}
_TIMEOUT = re.compile(rb"[0-9]{1,8}[HMSmun]")
_UNITS = {"H": 3600.0, "M": 60.0, "S": 1.0, "m": 1e-3, "u": 1e-6, "n": 1e-9}
_PSEUDO = frozenset({b":method", b":scheme", b":path", b":authority"})
_OF_CONNECTIONS = frozenset({b"connection", b"keep-alive", b"proxy-connection", b"transfer-encoding", b"upgrade"})
_NAME = re.compile(rb":?[a-z0-9!#$%&'*+.^_`|~-]+")
_BAD_VALUE = re.compile(rb"[\0\r\n]")
_UNESCAPED = "".join(chr(code) for code in range(0x20, 0x7F) if chr(code) != "%")

HEAD = STATUS_200 + encode_literals([(b"content-type", _CONTENT_TYPE)])
"""Header block of each answer that has a message."""
_OK = encode_literals([(b"grpc-status", b"0")])
_PREDICTION = encode_literals([(b"x-prediction-id", b"")])[:-1]
"""A literal up to the length of its value."""
_LENGTHS = [bytes((size,)) for size in range(127)]


class CallHead(NamedTuple):
    """What a call's headers say.

    Attributes:
        authorization: as it came; "" where there is none.
        token: digest of its secret; empty where there is none.
        timeout_s: until the caller wants no answer any more.
        encoding: of messages that say that they are compressed.
        headers: the call's metadata; of a name that stands several times the last.
        refusal: why it cannot be a call.
        http_status: the answer to what is no gRPC at all; 0: it is.
    """

    path: str
    authorization: str
    token: bytes
    timeout_s: float | None
    encoding: bytes
    headers: Mapping[bytes, bytes]
    refusal: Answer | None = None
    http_status: int = 0


def read_head(headers: Sequence[tuple[bytes, bytes]]) -> CallHead:
    """Raises MalformedRequest."""
    pseudo, found = _sorted(headers)
    path = pseudo[b":path"].decode("latin-1")
    scheme, _, secret = found.get(b"authorization", b"").partition(b" ")
    encoding = found.get(b"grpc-encoding", b"identity")
    timeout = found.get(b"grpc-timeout")
    refusal, timeout_s, status = None, None, 0
    kind = found.get(b"content-type", b"").lower()
    if pseudo[b":method"] != b"POST":
        status = 405
    elif not kind.startswith(_CONTENT_TYPE) or kind[len(_CONTENT_TYPE) :][:1] not in (b"", b"+", b";"):
        status = 415
    elif sum(name == b"authorization" for name, _ in headers) > 1:
        refusal = Answer(Status.INVALID_ARGUMENT, detail="authorization stands twice in the call's metadata.")
    elif encoding not in _ENCODINGS:
        refusal = Answer(Status.UNIMPLEMENTED, detail=f"The encoding {quote(encoding[:100])} of messages is not known.")
    elif timeout is not None:
        if _TIMEOUT.fullmatch(timeout):
            timeout_s = int(timeout[:-1]) * _UNITS[chr(timeout[-1])]
        else:
            refusal = Answer(
                Status.INVALID_ARGUMENT, detail="grpc-timeout is no number of at most 8 digits and a unit."
            )
    authorization = found.get(b"authorization", b"").decode("latin-1")
    digest = hashlib.sha256(secret.strip()).digest() if scheme.lower() == b"bearer" else b""
    return CallHead(path, authorization, digest, timeout_s, encoding, found, refusal, status)


def _sorted(headers: Sequence[tuple[bytes, bytes]]) -> tuple[dict[bytes, bytes], dict[bytes, bytes]]:
    """Pseudo-headers, and the others (RFC 9113, 8.2 and 8.3)."""
    pseudo: dict[bytes, bytes] = {}
    found: dict[bytes, bytes] = {}
    for name, value in headers:
        if not _NAME.fullmatch(name) or _BAD_VALUE.search(value):
            raise MalformedRequest
        if name.startswith(b":"):
            if found or name in pseudo or name not in _PSEUDO:
                raise MalformedRequest
            pseudo[name] = value
        elif name in _OF_CONNECTIONS or (name == b"te" and value != b"trailers"):
            raise MalformedRequest
        else:
            found[name] = value
    if not pseudo.get(b":path") or b":method" not in pseudo or b":scheme" not in pseudo:
        raise MalformedRequest
    return pseudo, found


def write_message(message: bytes) -> bytes:
    return b"\0" + len(message).to_bytes(4, "big") + message


def ok_trailers(predictions: Sequence[bytes]) -> bytes:
    """Header block behind a message.

    Args:
        predictions: identifiers, each shorter than 127 bytes.
    """
    found = _OK
    for one in predictions:
        found += _PREDICTION + _LENGTHS[len(one)] + one
    return found


def trailers(answer: Answer) -> bytes:
    """Header block of a status."""
    return encode_literals(_status(answer))


def trailers_only(answer: Answer) -> bytes:
    """Header block of an answer that is a status alone."""
    found = [(b"content-type", _CONTENT_TYPE), *_status(answer)]
    if answer.status is Status.UNIMPLEMENTED:
        found.append(_ACCEPT)
    return STATUS_200 + encode_literals(found)


def plain_http(status: int) -> bytes:
    """Header block of the answer to a request that is no gRPC."""
    return encode_literals([(b":status", b"%d" % status), (b"content-length", b"0")])


def _status(answer: Answer) -> list[tuple[bytes, bytes]]:
    found = [(b"grpc-status", b"%d" % answer.status)]
    if answer.detail:
        found.append((b"grpc-message", quote(answer.detail, safe=_UNESCAPED).encode()))
    if answer.retry_after_s is not None:
        found.append((b"retry-after", b"%d" % answer.retry_after_s))
    return found


def inflate(message: bytes, encoding: bytes, most_bytes: int) -> bytes:
    """A compressed message. Raises InvalidInput, and TooLarge for more than `most_bytes`."""
    if encoding not in _WINDOW_BITS:
        raise InvalidInput("The message says that it is compressed; grpc-encoding does not say how.")
    inflater = zlib.decompressobj(_WINDOW_BITS[encoding])
    try:
        found = inflater.decompress(message, most_bytes + 1)
    except zlib.error:
        raise InvalidInput(f"The message is not compressed as {encoding.decode()}.") from None
    if len(found) > most_bytes:
        raise TooLarge(f"The message unfolds to more than {most_bytes} bytes.")
    if not inflater.eof or inflater.unused_data:
        raise InvalidInput(f"The message is not compressed as {encoding.decode()}.")
    return found
