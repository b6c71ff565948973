"""Classes of protobuf messages, of a table of their fields."""

from collections.abc import Mapping
from typing import Any

from google.protobuf import message_factory
from google.protobuf.descriptor_pb2 import FieldDescriptorProto, FileDescriptorProto
from google.protobuf.descriptor_pool import DescriptorPool

# Message -> the numbers and types of its fields; what is no type of protobuf's is another message, and `[]` many.
Messages = Mapping[str, Mapping[str, tuple[int, str]]]


def message_types(name: str, messages: Messages) -> dict[str, Any]:
    """Return the class of each message; `name` is for errors."""
    file = FileDescriptorProto(name=name, syntax="proto2")
    for message_name, fields in messages.items():
        message = file.message_type.add(name=message_name)
        for field_name, (number, kind) in fields.items():
            field = message.field.add(name=field_name, number=number, label=FieldDescriptorProto.LABEL_OPTIONAL)
            single = kind.removesuffix("[]")
            if single != kind:
                field.label = FieldDescriptorProto.LABEL_REPEATED
            if single in messages:
                field.type = FieldDescriptorProto.TYPE_MESSAGE
                field.type_name = single
            else:
                field.type = FieldDescriptorProto.Type.Value(f"TYPE_{single.upper()}")
    pool = DescriptorPool()
    pool.Add(file)
    return {message: message_factory.GetMessageClass(pool.FindMessageTypeByName(message)) for message in messages}
