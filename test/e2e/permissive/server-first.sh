#!/bin/bash
# protocols in which the server speaks first (SMTP, by aiosmtpd and curl) work on declared and on
# undeclared ports without a long wait.
# places: local kubernetes
. "$(dirname "$0")/../lib.sh"
mesh_up
mesh_ns app
server app smtp 2525 tcp-server-first-smtp -- $PY -m aiosmtpd -n -l 0.0.0.0:2525
server app mail 2526 -- $PY -m aiosmtpd -n -l 0.0.0.0:2526
printf 'Subject: hello\r\n\r\nfirst words\r\n' >"$TMP/mail"
in_pods "$TMP"
client app
wait_ready app pod/smtp pod/mail pod/client
send() { # HOST:PORT
    in_pod app client curl -sS -m 5 --url "smtp://$1" --mail-from a@example.com --mail-rcpt b@example.com -T "$TMP/mail"
}
greeting_ms() { # HOST PORT
    in_pod app client $PY -c '
import socket, sys, time
t = time.monotonic()
s = socket.create_connection((sys.argv[1], int(sys.argv[2])), 5)
assert s.recv(100).startswith(b"220"), "no greeting"
print(int((time.monotonic() - t) * 1000))' "$1" "$2"
}
send smtp.app:2525 || fail "SMTP on a declared port"
send mail.app:2526 || fail "SMTP on an undeclared port"
declared=$(greeting_ms smtp.app 2525)
undeclared=$(greeting_ms mail.app 2526)
[ "$declared" -lt 1000 ] || fail "the greeting took $declared ms on a declared port"
[ "$undeclared" -lt 1000 ] || fail "the greeting took $undeclared ms on an undeclared port"
done_ok "greeting after $declared ms (declared), $undeclared ms (undeclared)"
