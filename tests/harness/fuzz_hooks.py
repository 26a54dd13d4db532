"""What the tool that makes requests up does not know by itself: how an apply file is sent, and that the token it calls
with must not be revoked by it, or it would see nothing but 401 from then on."""

import os

import schemathesis


@schemathesis.serializer("application/toml")
def toml(ctx, value):
    return value if isinstance(value, bytes) else str(value).encode("utf-8", "surrogateescape")


@schemathesis.hook
def before_call(ctx, case, kwargs):
    parameters = case.path_parameters or {}
    if case.path.startswith("/api-tokens/") and parameters.get("id") == os.environ["OWN_TOKEN"]:
        case.path_parameters["id"] = "apt_of_nobody"
