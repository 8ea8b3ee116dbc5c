"""CustomResourceDefinitions: checked where what they define is known (``api.crd``)."""

from pinnace.api.crd.validation import custom_resource_definition

__all__ = ["custom_resource_definition"]
