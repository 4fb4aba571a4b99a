"""Errors and label selectors as kube-apiserver has them, down to the wording."""

from aiohttp import web

CONTINUE_EXPIRED = (
    "The provided continue parameter is too old to display a consistent list result. You can start "
    "a new list without the continue parameter, or use the continue token in this response to "
    "retrieve the remainder of the results. Continuing with the provided token results in an "
    "inconsistent list - objects that were created, modified, or deleted between the time the "
    "first chunk was returned and now may show up in the list."
)


def failure(code, reason, message, headers=None, details=None, metadata=None):
    status = {
        "kind": "Status",
        "apiVersion": "v1",
        "metadata": metadata or {},
        "status": "Failure",
        "message": message,
    }
    return web.json_response(
        {**status, "reason": reason, "details": details or {}, "code": code},
        status=code,
        headers=headers or {},
    )


def forbidden(user, verb, group, plural, namespace, name):
    named = f' "{name or namespace}"' if verb == "get" else ""
    what = f"{plural}.{group}" if group else plural
    message = (
        f'{what}{named} is forbidden: User "{user}" cannot {verb} resource "{plural}" in API group '
        f'"{group}" in the namespace "{namespace}"'
    )
    return failure(403, "Forbidden", message, details={"group": group, "kind": plural})


def not_found(plural, name):
    return failure(
        404, "NotFound", f'{plural} "{name}" not found', details={"name": name, "kind": plural}
    )


def too_large(version, current):
    return failure(
        504,
        "Timeout",
        f"Timeout: Too large resource version: {version}, current: {current}",
        headers={"Retry-After": "1"},
        details={
            "retryAfterSeconds": 1,
            "causes": [
                {"reason": "ResourceVersionTooLarge", "message": "Too large resource version"}
            ],
        },
    )


def selecting(query, plural, namespace):
    """Return whether an object fits; of selectors, those by equality and by set."""
    labels = [_requirement(part) for part in _split(query.get("labelSelector", ""))]
    named = query.get("fieldSelector", "").removeprefix("metadata.name=")

    def fits(key, found):
        return key[:2] == (plural, namespace) and named in ("", key[2]) and all(
            each(found["metadata"].get("labels", {})) for each in labels
        )  # fmt: skip

    return fits


def _split(selector):
    parts, depth, part = [], 0, ""
    for char in selector:
        depth += (char == "(") - (char == ")")
        if char == "," and not depth:
            parts.append(part)
            part = ""
        else:
            part += char
    return [part.strip() for part in (*parts, part) if part.strip()]


def _requirement(text):
    if " in " in text:
        key, _, values = text.partition(" in ")
        allowed = {value.strip() for value in values.strip(" ()").split(",")}
        return lambda labels: labels.get(key.strip()) in allowed
    if "!=" in text:
        key, _, value = text.partition("!=")
        return lambda labels: labels.get(key) != value
    key, _, value = text.replace("==", "=").partition("=")
    return lambda labels: labels.get(key) == value
