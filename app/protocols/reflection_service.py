"""`grpc.reflection`, v1 and v1alpha: tells clients what services and messages there are. No token."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Any

from google.protobuf.message import DecodeError

from app.protocols.message_schema import MessageSchema
from app.protocols.rpc_methods import Answer, Status
from app.protocols.streaming_call import StreamingCall, StreamingMethod

PACKAGES = ("grpc.reflection.v1", "grpc.reflection.v1alpha")
_TABLE = """
package PACKAGE
message ExtensionRequest
1 string containing_type
2 int32 extension_number
message ServerReflectionRequest
1 string host
3 string file_by_filename oneof message_request
4 string file_containing_symbol oneof message_request
5 PACKAGE.ExtensionRequest file_containing_extension oneof message_request
6 string all_extension_numbers_of_type oneof message_request
7 string list_services oneof message_request
message FileDescriptorResponse
1 repeated bytes file_descriptor_proto
message ExtensionNumberResponse
1 string base_type_name
2 repeated int32 extension_number
message ServiceResponse
1 string name
message ListServiceResponse
1 repeated PACKAGE.ServiceResponse service
message ErrorResponse
1 int32 error_code
2 string error_message
message ServerReflectionResponse
1 string valid_host
2 PACKAGE.ServerReflectionRequest original_request
4 PACKAGE.FileDescriptorResponse file_descriptor_response oneof message_response
5 PACKAGE.ExtensionNumberResponse all_extension_numbers_response oneof message_response
6 PACKAGE.ListServiceResponse list_services_response oneof message_response
7 PACKAGE.ErrorResponse error_response oneof message_response
service ServerReflection
rpc ServerReflectionInfo PACKAGE.ServerReflectionRequest* PACKAGE.ServerReflectionResponse*
"""
TABLE = "".join(_TABLE.replace("PACKAGE", package) for package in PACKAGES)
_schema = MessageSchema(TABLE)


class ReflectionService:
    """Answers from a descriptor pool.

    Args:
        services: full names of all that the port has.
        pool: describes them.
    """

    def __init__(self, services: Sequence[str], pool: Any) -> None:
        self._services = sorted(services)
        self._pool = pool

    def streaming(self) -> dict[str, Callable[[], StreamingMethod]]:
        return {
            f"/{package}.ServerReflection/ServerReflectionInfo": lambda package=package: _Reflection(self, package)  # type: ignore[misc]
            for package in PACKAGES
        }

    def answer(self, response: Any, request: Any, sent: set[str]) -> None:
        """Fills a response to a request.

        Args:
            sent: names of the files that this client has; those that it gets now are added.
        """
        kind = request.WhichOneof("message_request")
        try:
            if kind == "list_services":
                for name in self._services:
                    response.list_services_response.service.add(name=name)
            elif kind == "file_by_filename":
                self._describe(response, self._pool.FindFileByName(request.file_by_filename), sent)
            elif kind == "file_containing_symbol":
                self._describe(response, self._pool.FindFileContainingSymbol(request.file_containing_symbol), sent)
            elif kind == "all_extension_numbers_of_type":
                name = self._pool.FindMessageTypeByName(request.all_extension_numbers_of_type).full_name
                response.all_extension_numbers_response.base_type_name = name
            else:
                raise KeyError("extensions: there are none")
        except KeyError:
            response.error_response.error_code = Status.NOT_FOUND
            response.error_response.error_message = "It is not here."

    def _describe(self, response: Any, file: Any, sent: set[str]) -> None:
        """The file with those that it needs and that were not sent, so that a client need not ask for each."""
        files, waiting = {file.name: file.serialized_pb}, list(file.dependencies)
        while waiting:
            one = waiting.pop()
            if one.name not in files and one.name not in sent:
                files[one.name] = one.serialized_pb
                waiting += one.dependencies
        sent.update(files)
        response.file_descriptor_response.file_descriptor_proto.extend(files.values())


class _Reflection:
    """One client's conversation."""

    def __init__(self, service: ReflectionService, package: str) -> None:
        self._service = service
        self._call: StreamingCall
        self._sent: set[str] = set()
        self._request = _schema.message(f"{package}.ServerReflectionRequest")
        self._response = _schema.message(f"{package}.ServerReflectionResponse")

    def begin(self, call: StreamingCall) -> None:
        self._call = call

    def message(self, message: bytes) -> None:
        try:
            request = self._request.FromString(message)
        except DecodeError:
            self._call.end(Answer(Status.INVALID_ARGUMENT, detail="The message is no ServerReflectionRequest."))
            return
        response = self._response(valid_host=request.host, original_request=request)
        self._service.answer(response, request, self._sent)
        self._call.answer(response.SerializeToString())

    def ended(self) -> None:
        self._call.end()

    def gone(self) -> None:
        """Nothing is kept for it."""
