"""The server's answers against docs/openapi.json: each is of a status, a type and a form that are described.

    python tests/acceptance/openapi.py --binary target/debug/tradewind

Guarantees: the description is valid OpenAPI 3.1, and is what the server serves; every operation that
answers JSON is asked at least once, rightly and wrongly.
Left out: which routes there are, which a test in `tradewind-cli` compares.
"""

import argparse
import json
import pathlib
import sys
import urllib.error
import urllib.request

import jsonschema
import openapi_spec_validator

import common
import server

JSON = "application/json"
ARROW = "application/vnd.apache.arrow.stream"


def calls():
    """What is asked: path of the description, method, address, headers, body, status."""
    call = {"type": "track", "event": "Order Completed", "userId": "ada", "messageId": "one",
            "properties": {"order_id": "1", "total": "1.50", "revenue": "1.50", "currency": "EUR"}}
    key = {"Authorization": "Basic ZGVtbzo="}
    for path in ["/v1/track", "/v1/t"]:
        yield path, "post", path, key, call, 200
    for kind in ["page", "screen", "identify", "group", "alias"]:
        extra = {"groupId": "g"} if kind == "group" else {"previousId": "p"} if kind == "alias" else {}
        for path in [f"/v1/{kind}", f"/v1/{kind[0]}"]:
            yield path, "post", path, key, {"userId": "ada", **extra}, 200
    for path in ["/v1/batch", "/v1/b"]:
        # One is new, one is no call.
        yield path, "post", path, key, {"batch": [call, {"type": "track"}]}, 200
        yield path, "post", path, key, b"{no json", 400
        yield path, "post", path, {}, {"batch": [call]}, 401
        yield path, "post", path, key | {"Content-Encoding": "br"}, {"batch": []}, 415
        yield path, "options", path, {"Origin": "https://shop.example"}, None, 204
    sql = "/api/sql"
    ask = {"sql": "SELECT $1 + 1 AS n, 1.5 AS amount, NULL AS nothing", "parameters": [1]}
    yield sql, "post", sql, {}, ask, 200
    yield sql, "post", sql, {}, {"sql": "CREATE VIEW of_openapi AS SELECT 1 AS n"}, 200
    yield sql, "post", sql, {}, {"sql": "DROP VIEW of_openapi"}, 200
    yield sql, "post", sql, {}, {"sql": "SELECT 1", "format": "csv"}, 200
    yield sql, "post", sql, {"Accept": ARROW}, {"sql": "SELECT 1"}, 200
    yield sql, "post", f"{sql}?timeout_ms=1000", {"Content-Type": "text/plain"}, b"SELECT 1", 200
    yield sql, "post", sql, {}, {"sql": "SUBSCRIBE TO sales_per_minute", "timeout_ms": 100}, 200
    for wrong in [{"sql": "SELECT\n  nope"}, {"sql": "SELEC"}, {"sql": ""}, {"sql": "SELECT 1", "format": "xml"},
                  {"sql": "SELECT 1", "page_rows": 0}, {"other": 1}, {"sql": "SELECT 1 / 0"}]:
        yield sql, "post", sql, {}, wrong, 400
    yield sql, "post", sql, {"Origin": "https://evil.example"}, ask, 403
    yield sql, "post", sql, {"Content-Type": "application/xml"}, b"<sql/>", 415
    yield sql, "post", sql, {}, b'{"sql": "' + b"x" * (2 << 20) + b'"}', 413
    paged = {"sql": "SELECT value FROM generate_series(1, 5) AS t(value)", "page_rows": 2, "id": "paged"}
    yield sql, "post", sql, {}, paged, 200
    one, page = "/api/sql/{id}", "/api/sql/{id}/{page}"
    yield page, "get", "/api/sql/paged/2", {}, None, 200
    yield page, "get", "/api/sql/paged/7", {}, None, 410
    yield sql, "post", sql, {}, paged, 400
    yield one, "delete", "/api/sql/paged", {}, None, 204
    yield one, "delete", "/api/sql/nobody", {}, None, 404
    yield page, "get", "/api/sql/nobody/2", {}, None, 404
    yield "/api/subscribe", "get", "/api/subscribe?view=nothing", {}, None, 404
    yield "/api/subscribe", "get", "/api/subscribe", {}, None, 400
    yield "/api/live", "get", "/api/live", {}, None, 400
    reset = "/api/groups/reset"
    yield reset, "post", reset, {}, {"group": "g", "topic": "events", "to": "earliest", "dry_run": True}, 200
    yield reset, "post", reset, {}, {"group": "g", "topic": "nothing", "to": "latest"}, 400
    yield reset, "post", reset, {}, {"group": "g"}, 422
    yield reset, "post", reset, {}, b"{", 400
    yield reset, "post", reset, {"Content-Type": "text/plain"}, b"{}", 415
    retry = "/api/dead_letters/retry"
    letter = {"letter": 0, "body": json.dumps({"type": "track", "event": "Seen", "userId": "ada"})}
    yield retry, "post", retry, {}, letter, 200
    yield retry, "post", retry, {}, letter, 409
    yield retry, "post", retry, {}, {"letter": 1_000_000}, 404
    yield retry, "post", retry, {"Origin": "https://evil.example"}, letter, 403
    orders, refund = "/shop/api/orders", "/shop/api/orders/{order_id}/refund"
    yield "/shop/api/catalogue", "get", "/shop/api/catalogue", {}, None, 200
    bought = {"checkout_id": "0192d0a0-0000-7000-8000-000000000001", "currency": "EUR",
              "lines": [{"product_id": "1001", "quantity": 2}]}
    yield orders, "post", orders, {}, bought, 201
    yield orders, "post", orders, {}, {"currency": "EUR"}, 422
    yield orders, "post", orders, {}, b"{", 400
    yield orders, "get", orders, {}, None, 200
    yield refund, "post", "/shop/api/orders/nobody/refund", {}, {}, 404
    for path in ["/healthz", "/metrics", "/api/panels", "/api/openapi.json"]:
        yield path, "get", path, {}, None, 200


def ask(url, method, address, headers, body):
    """Status, headers and body of an answer."""
    sent = {"Content-Type": JSON} | headers if body is not None else headers
    data = body if body is None or isinstance(body, bytes) else json.dumps(body).encode()
    request = urllib.request.Request(url + address, data=data, headers=sent, method=method.upper())
    try:
        with urllib.request.urlopen(request, timeout=60) as answer:
            return answer.status, answer.headers, answer.read()
    except urllib.error.HTTPError as error:
        return error.code, error.headers, error.read()


def resolved(description, node):
    while "$ref" in node:
        place = description
        for part in node["$ref"].removeprefix("#/").split("/"):
            place = place[part]
        node = place
    return node


def judge(description, path, method, answer):
    """What an answer is that the description does not say; None when it is as described."""
    status, headers, body = answer
    responses = resolved(description, description["paths"][path])[method]["responses"]
    if str(status) not in responses:
        return f"status {status} is not described: {body[:300]}"
    described = resolved(description, responses[str(status)])
    content = described.get("content")
    if not content:
        return None if not body else f"a body where none is described: {body[:300]}"
    kind = headers.get("Content-Type", "").split(";")[0]
    if kind not in content:
        return f"{kind!r} is none of {list(content)}"
    if kind == JSON:
        schema = content[kind]["schema"] | {"components": description["components"]}
        errors = jsonschema.Draft202012Validator(schema).iter_errors(json.loads(body))
        return next((f"{error.json_path}: {error.message[:300]}" for error in errors), None)
    return None


def main():
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--binary", type=pathlib.Path, required=True)
    chosen = parser.parse_args()
    description = json.loads((common.PROJECT / "docs" / "openapi.json").read_text())
    openapi_spec_validator.validate(description)
    wrong, asked = [], set()
    with server.running(chosen.binary, {"demo.shop": "true"}) as running:
        served = json.loads(ask(running.url, "get", "/api/openapi.json", {}, None)[2])
        if served != description:
            wrong.append("what is served is another description")
        for path, method, address, headers, body, status in calls():
            answer = ask(running.url, method, address, headers, body)
            asked.add((path, method))
            said = judge(description, path, method, answer)
            if answer[0] != status:
                said = f"status {answer[0]} instead of {status}: {answer[2][:300]}"
            if said:
                wrong.append(f"{method} {address} {str(body)[:80]}: {said}")
    for path, item in description["paths"].items():
        for method, operation in resolved(description, item).items():
            kinds = [kind for response in operation["responses"].values()
                     for kind in resolved(description, response).get("content", {})]
            if JSON in kinds and (path, method) not in asked:
                wrong.append(f"{method} {path} was not asked")
    for line in wrong:
        print(f"  {line}")
    if wrong:
        sys.exit(1)
    print(f"{len(asked)} operations\nPASSED")


if __name__ == "__main__":
    main()
