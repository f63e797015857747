#!/usr/bin/python3
"""A second opinion on injection patches: applies them with its own RFC 6902, and looks at the pod
that results with the API server's eyes.

check.py apply DOCUMENT PATCH        prints the patched document (JSON)
check.py pod POD PATCH native|plain  complains about what the API server or the kubelet would
"""
import copy
import json
import sys

RESERVED = {15000, 15001, 15003, 15010, 15901, 15902, 15903, 15904}


def tokens(pointer):
    if pointer == "":
        return []
    assert pointer[0] == "/", pointer
    return [t.replace("~1", "/").replace("~0", "~") for t in pointer[1:].split("/")]


def step(node, token):
    return node[int(token)] if isinstance(node, list) else node[token]


def apply(doc, patch):
    doc = copy.deepcopy(doc)
    for op in patch:
        *way, last = tokens(op["path"])
        node = doc
        for t in way:
            node = step(node, t)
        if op["op"] == "test":
            assert step(node, last) == op["value"], op
        elif op["op"] == "remove":
            del node[int(last) if isinstance(node, list) else last]
        elif op["op"] == "replace":
            step(node, last)  # must exist
            node[int(last) if isinstance(node, list) else last] = copy.deepcopy(op["value"])
        elif op["op"] == "add" and isinstance(node, list):
            at = len(node) if last == "-" else int(last)
            assert 0 <= at <= len(node), op
            node.insert(at, copy.deepcopy(op["value"]))
        elif op["op"] == "add":
            node[last] = copy.deepcopy(op["value"])
        else:
            raise AssertionError(op)
    return doc


def complaints(pod, before, native):
    spec = pod["spec"]
    init, plain = spec.get("initContainers") or [], spec["containers"]
    everyone = init + plain
    names = [c["name"] for c in everyone]
    if len(names) != len(set(names)):
        yield "container names are not unique: %s" % names
    volumes = {v["name"] for v in spec["volumes"]}
    if len(volumes) != len(spec["volumes"]):
        yield "volume names are not unique"
    if not pod["metadata"]["labels"].get("fsm-proxy-uuid"):
        yield "no label fsm-proxy-uuid"
    for c in everyone:
        for p in c.get("ports", []):
            if len(p.get("name", "")) > 15 or not 0 < p["containerPort"] < 65536:
                yield "%s: bad port %s" % (c["name"], p)
        for m in c.get("volumeMounts", []):
            if m["name"] not in volumes:
                yield "%s mounts %s, which is not there" % (c["name"], m["name"])
        s = c.get("securityContext", {})
        if s.get("privileged") and s.get("allowPrivilegeEscalation") is False:
            yield "%s: privileged without allowPrivilegeEscalation" % c["name"]
        handlers = [(k, c[k]) for k in ("livenessProbe", "readinessProbe", "startupProbe") if k in c]
        handlers += list(c.get("lifecycle", {}).items())
        for k, h in handlers:
            kinds = {"httpGet", "tcpSocket", "grpc", "exec", "sleep"} & set(h)
            if len(kinds) != 1:
                yield "%s.%s has %s" % (c["name"], k, kinds)
        if c in init and "lifecycle" in c and c.get("restartPolicy") != "Always":
            yield "%s: an init container with hooks" % c["name"]
    ours = [c for c in everyone if c["name"] == "sidecar"]
    if len(ours) != 1 or ours[0]["securityContext"]["runAsUser"] != 1500:
        yield "not one sidecar of user 1500"
    if any(c.get("securityContext", {}).get("runAsUser") == 1500 for c in everyone if c not in ours):
        yield "somebody else is user 1500"
    if native:
        redirected = "fsm-init" in names
        if names[redirected] != "sidecar" or init[redirected]["restartPolicy"] != "Always":
            yield "the sidecar does not start first: %s" % names
        if [c["name"] for c in plain] != [c["name"] for c in before["spec"]["containers"]]:
            yield "a native sidecar must not add plain containers"
    elif plain[-1]["name"] != "sidecar" or "restartPolicy" in plain[-1]:
        yield "the sidecar is not the last plain container"
    elif "fsm-init" in names and init[-1]["name"] != "fsm-init":
        yield "fsm-init is not the last init container"
    kept = lambda p, k: [c["name"] for c in p["spec"].get(k) or [] if c["name"] not in ("sidecar", "fsm-init", "fsm-healthcheck")]
    for k in ("initContainers", "containers"):
        if kept(pod, k) != kept(before, k):
            yield "the pod's own %s changed" % k


def load(path):
    with open(path) as f:
        return json.load(f)


if __name__ == "__main__":
    document, patch = load(sys.argv[2]), load(sys.argv[3])
    after = apply(document, patch)
    if sys.argv[1] == "apply":
        json.dump(after, sys.stdout)
    else:
        found = list(complaints(after, document, sys.argv[4] == "native"))
        print("\n".join(found))
        sys.exit(1 if found else 0)
