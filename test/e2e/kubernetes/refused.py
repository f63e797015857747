"""Sends objects to an API server that must refuse each of them, and compares its words.

refused.py HOST:PORT FILE...   HOST:PORT is a kubectl proxy.  In a file, the comment in front of an
object names the field that the refusal must name: "# refused: spec.ports[0].port"; "(tree)" behind
it says that only the checks of the tree refuse, and the server must take it.
"""
import json
import re
import sys
import urllib.error
import urllib.request

import yaml

BASE = 'http://%s' % sys.argv[1]
plurals = {}


def plural(api, kind):
    if api not in plurals:
        with urllib.request.urlopen('%s/apis/%s' % (BASE, api)) as answer:
            resources = json.load(answer)['resources']
        plurals[api] = {r['kind']: r['name'] for r in resources if '/' not in r['name']}
    return plurals[api][kind]


def create(o):
    """The status of a dry run, and what the server says."""
    ns = o['metadata'].get('namespace')
    url = '%s/apis/%s/%s%s?dryRun=All&fieldValidation=Strict' % (
        BASE, o['apiVersion'], 'namespaces/%s/' % ns if ns else '', plural(o['apiVersion'], o['kind']))
    request = urllib.request.Request(url, json.dumps(o).encode(), {'Content-Type': 'application/json'})
    try:
        with urllib.request.urlopen(request) as answer:
            return answer.status, ''
    except urllib.error.HTTPError as e:
        return e.code, json.load(e).get('message', '')


wrong, count = [], 0
for path in sys.argv[2:]:
    with open(path, encoding='utf-8') as f:
        documents = f.read().split('\n---\n')
    for text in documents:
        mark = re.search(r'^# refused: (\S+)(?: \((\w+)\))?$', text, re.M)
        if not mark:
            continue
        field, by = mark.groups()
        o = yaml.safe_load(text)
        status, message = create(o)
        count += 1
        if by == 'tree':
            if status not in (200, 201):
                wrong.append('%s %s: %s' % (path, field, message))
        elif status not in (400, 422):
            wrong.append('%s %s: status %d, expected a refusal' % (path, field, status))
        elif field.rstrip('.') not in message:
            wrong.append('%s %s: %s' % (path, field, message))
for line in wrong:
    print(line)
if wrong or count < 100:
    sys.exit('%d of %d are wrong' % (len(wrong), count))
print('%d refused variants: every message names the field' % count)
