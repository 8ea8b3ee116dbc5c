"""What happens to containers, as containerd tells it: its own event stream, on the socket that CRI is on."""

from __future__ import annotations

from collections.abc import AsyncIterator
from typing import Any

from google.protobuf import descriptor_pb2, descriptor_pool, message_factory

SUBSCRIBE = "/containerd.services.events.v1.Events/Subscribe"
#: Only what CRI's containers do, and only what changes a Pod; starts are the kubelet's own doing.
FILTERS = [
    f'namespace=="k8s.io",topic=="{topic}"'
    for topic in ("/tasks/exit", "/tasks/oom", "/tasks/delete", "/containers/delete")
]
_ENDS = ("/tasks/exit", "/tasks/oom", "/tasks/delete")


def _classes() -> tuple[Any, Any, Any]:
    kind = descriptor_pb2.FieldDescriptorProto
    file = descriptor_pb2.FileDescriptorProto(name="containerd_events.proto", package="pinnace.events", syntax="proto3")
    request = file.message_type.add(name="SubscribeRequest")
    request.field.add(name="filters", number=1, label=kind.LABEL_REPEATED, type=kind.TYPE_STRING)
    subject = file.message_type.add(name="Subject")  # the container's ID is field 1 of every event asked for
    subject.field.add(name="id", number=1, label=kind.LABEL_OPTIONAL, type=kind.TYPE_STRING)
    packed = file.message_type.add(name="Packed")
    packed.field.add(name="type_url", number=1, label=kind.LABEL_OPTIONAL, type=kind.TYPE_STRING)
    packed.field.add(name="value", number=2, label=kind.LABEL_OPTIONAL, type=kind.TYPE_BYTES)
    envelope = file.message_type.add(name="Envelope")
    envelope.field.add(name="topic", number=3, label=kind.LABEL_OPTIONAL, type=kind.TYPE_STRING)
    envelope.field.add(
        name="event",
        number=4,
        label=kind.LABEL_OPTIONAL,
        type=kind.TYPE_MESSAGE,
        type_name=".pinnace.events.Packed",
    )
    pool = descriptor_pool.DescriptorPool()
    pool.Add(file)
    names = ("SubscribeRequest", "Envelope", "Subject")
    found = [message_factory.GetMessageClass(pool.FindMessageTypeByName(f"pinnace.events.{name}")) for name in names]
    return found[0], found[1], found[2]


_Request, _Envelope, _Subject = _classes()


async def happenings(channel: Any) -> AsyncIterator[tuple[str, bool]]:
    """IDs of containers and sandboxes that something happened to, and whether CRI learns more of it soon. Raises
    grpc.aio.AioRpcError when the stream ends."""
    call = channel.unary_stream(
        SUBSCRIBE, request_serializer=_Request.SerializeToString, response_deserializer=_Envelope.FromString
    )
    stream = call(_Request(filters=FILTERS))
    try:
        async for envelope in stream:
            yield _Subject.FromString(envelope.event.value).id, envelope.topic in _ENDS
    finally:
        stream.cancel()
