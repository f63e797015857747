"""The rows of hostile/run.py.

A row says what is sent, which clause speaks about it, and what must come of it:

    refused   answered so, for that reason; the server gets nothing
    passes    the server gets exactly these bytes (on 1-1; other ways: the same in their form)
    cut       a body that turns bad under way: answered so; the server gets at most these bytes and
              never a complete request
    reset     HTTP/2: the stream (or the connection) ends with that code; the server gets nothing
    bad       a response that is not passed on: 502, with this fault in the access log
    arrives   a response that is, as the client gets it
    broken    a response that turns bad under way: the client sees that it was cut off
"""
import wire

CASES = []


class A:
    """an answer: status, and the reason in the log (and in the body, where it is ours)"""

    def __init__(self, status, reason="ok"):
        self.status, self.reason = status, reason


OK = A(200)
H1_WAYS, H2_WAYS = ("1-1", "1-2", "1-2-1"), ("2-2", "2-1")


class Case:
    def __init__(self, kind, family, name, rfc, **more):
        self.kind, self.family, self.name, self.rfc = kind, family, name, rfc
        self.bytes = self.forwards = b""
        self.answers, self.methods, self.logs = [], [], None
        self.closes = self.shut = self.cut = self.close = self.upgrade = self.began = False
        self.reply = self.rst = self.goaway = self.fault = None
        self.asks, self.scheme, self.stream, self.reason = b"GET", b"http", 1, "ok"
        self.arrives = b""
        self.__dict__.update(more)
        CASES.append(self)

    def logged(self):
        return self.answers if self.logs is None else self.logs

    def expectation(self):
        if self.kind[0] == "q":
            if self.goaway or self.rst:
                return f"{'connection ends: ' + self.goaway if self.goaway else 'reset: ' + self.rst}"
            said = " ".join(f"{a.status} {a.reason}" if a.reason != "ok" else str(a.status)
                            for a in self.answers) or "no answer"
            if self.cut:
                return said + ", cut at the server"
            return said + (", forwarded: " + shown(self.forwards) if self.forwards else
                           ", nothing forwarded")
        if self.cut:
            return "cut off at the client"
        if self.fault:
            return f"502 {self.reason} ({self.fault})"
        return "passed on" + (": " + shown(self.arrives) if self.arrives else "")


def shown(b, most=90):
    t = repr(b)[2:-1]
    return t if len(t) <= most else t[:most] + "..."


def table():
    out = []
    for family in dict.fromkeys(c.family for c in CASES):
        out.append(f"\n{family}")
        for c in CASES:
            if c.family == family:
                sent = c.bytes if c.kind[0] == "q" else c.reply if c.kind == "r1" else b""
                out.append(f"  {c.name}\n    RFC {c.rfc}; {', '.join(c.ways)}")
                if sent and not c.kind.endswith("2"):
                    out.append("    sent: " + shown(sent, 200))
                out.append("    fsm:  " + c.expectation())
    return f"{len(CASES)} rows" + "\n".join([""] + out)


# ---- HTTP/1 requests ----------------------------------------------------------------------------

def refused(family, name, rfc, data, status, reason, ways=H1_WAYS):
    Case("q1", family, name, rfc, bytes=data, answers=[A(status, reason)], closes=True, ways=ways)


def passes(family, name, rfc, data, forwards, answers=(OK,), ways=H1_WAYS, **more):
    Case("q1", family, name, rfc, bytes=data, forwards=forwards, answers=list(answers), ways=ways,
         **more)


def cut(family, name, rfc, data, reason, forwards, status=400, ways=H1_WAYS):
    Case("q1", family, name, rfc, bytes=data, answers=[A(status, reason)], closes=True, cut=True,
         forwards=forwards, ways=ways)


HOST = b"Host: h\r\n"
G, P = b"GET / HTTP/1.1\r\n" + HOST, b"POST / HTTP/1.1\r\n" + HOST
END = b"\r\n"
SMUGGLED = b"GET /smuggled HTTP/1.1\r\nHost: h\r\n\r\n"
TE, CHUNKS = b"Transfer-Encoding: chunked\r\n", b"3\r\nabc\r\n0\r\n\r\n"
FORWARDED = G + END

# Content-Length against Transfer-Encoding
f = "CL.TE and TE.CL"
both = "transfer_encoding_and_content_length"
for name, fields in (
        ("length, then chunked", b"Content-Length: 6\r\n" + TE),
        ("chunked, then length", TE + b"Content-Length: 6\r\n"),
        ("length 0 and chunked", b"Content-Length: 0\r\n" + TE),
        ("length and Chunked in another case", b"content-length: 6\r\ntransfer-encoding: CHUNKED\r\n"),
        ("fields between them", b"Content-Length: 6\r\nA: b\r\n" + TE + b"C: d\r\n"),
        ("tabs around the values", b"Content-Length:\t6\t\r\nTransfer-Encoding:\tchunked\t\r\n")):
    refused(f, name, "9112 6.3 rule 3", P + fields + END + b"0\r\n\r\nG", 400, both)
refused(f, "the body is a request", "9112 6.3 rule 3",
        P + b"Content-Length: 4\r\n" + TE + END + b"5c\r\n" + SMUGGLED, 400, both)
refused(f, "in a GET", "9112 6.3 rule 3", G + b"Content-Length: 3\r\n" + TE + END + CHUNKS, 400, both)
refused(f, "length and identity", "9112 6.1",
        P + b"Content-Length: 3\r\nTransfer-Encoding: identity\r\n" + END + b"abc", 400,
        "bad_transfer_encoding")
refused(f, "two lengths and chunked", "9112 6.3",
        P + b"Content-Length: 3\r\nContent-Length: 3\r\n" + TE + END + CHUNKS, 400,
        "content_length_twice")
refused(f, "chunked in HTTP/1.0", "9112 6.1", b"POST / HTTP/1.0\r\n" + HOST + TE + END + CHUNKS,
        400, "transfer_encoding_in_http_1_0")
refused(f, "chunked and a length in HTTP/1.0", "9112 6.1",
        b"POST / HTTP/1.0\r\n" + HOST + b"Content-Length: 3\r\n" + TE + END + b"abc", 400,
        "transfer_encoding_in_http_1_0")

f = "TE.TE"
bad, unknown = (400, "bad_transfer_encoding"), (501, "unknown_transfer_coding")
for name, value, (status, reason) in (
        ("xchunked", b" xchunked", bad), ("chunkedx", b" chunkedx", bad), ("empty", b"", bad),
        ("chunked, identity", b" chunked, identity", bad), ("chunked, gzip", b" chunked, gzip", bad),
        ("chunked twice in a list", b" chunked, chunked", bad),
        ("gzip, chunked", b" gzip, chunked", unknown),
        ("identity, chunked", b" identity, chunked", unknown),
        ("quoted", b' "chunked"', bad), ("a parameter", b" chunked;q=1", bad),
        ("a comma before", b" ,chunked", bad), ("a comma behind", b" chunked,", bad),
        ("two words", b" chunked chunked", bad), ("a colon too many", b": chunked", bad),
        ("an apostrophe", b" 'chunked'", bad), ("two lists", b" gzip, gzip, chunked", unknown),
        ("vertical tab", b" \x0bchunked", (400, "control_character")),
        ("form feed behind", b" chunked\x0c", (400, "control_character")),
        ("NUL inside", b" chun\0ked", (400, "control_character")),
        ("NUL behind", b" chunked\0", (400, "control_character")),
        ("non-ASCII space before", b" \xa0chunked", bad)):
    refused(f, name, "9112 6.1", P + b"Transfer-Encoding:" + value + b"\r\n" + END + CHUNKS, status,
            reason)
for name, fields, reason in (
        ("two fields", TE + TE, "bad_transfer_encoding"),
        ("chunked, then identity", TE + b"Transfer-Encoding: identity\r\n", "bad_transfer_encoding"),
        ("identity, then chunked", b"Transfer-Encoding: identity\r\n" + TE, "bad_transfer_encoding"),
        ("space before the colon", b"Transfer-Encoding : chunked\r\n", "space_before_colon"),
        ("tab before the colon", b"Transfer-Encoding\t: chunked\r\n", "space_before_colon"),
        ("behind a blank", b" Transfer-Encoding: chunked\r\n", "folded_field"),
        ("the value folded", b"Transfer-Encoding:\r\n chunked\r\n", "bad_transfer_encoding"),
        ("folded into another field", b"X: y\r\n\tTransfer-Encoding: chunked\r\n", "folded_field"),
        ("behind a bare LF", b"X: y\nTransfer-Encoding: chunked\r\n", "bare_cr_or_lf"),
        ("behind a bare CR", b"X: y\rTransfer-Encoding: chunked\r\n", "bare_cr_or_lf"),
        ("a NUL in the name", b"Transfer-Encod\0ing: chunked\r\n", "bad_field_name"),
        ("a bare LF behind the name", b"Transfer-Encoding\n: chunked\r\n", "bare_cr_or_lf"),
        ("a non-ASCII letter in the name", b"Transfer-Encod\xc4\xb1ng: chunked\r\n", "bad_field_name")):
    refused(f, name, "9112 5, 6.1", P + fields + END + CHUNKS, 400, reason)
for name, value in (("another case", b" CHUNKED"), ("no space", b"chunked"),
                    ("blanks around", b"\t chunked \t")):
    passes(f, name, "9112 6.1, 9110 5.5", P + b"transfer-encoding:" + value + b"\r\n" + END + CHUNKS,
           P + TE + END + CHUNKS)
for name in (b"Transfer_Encoding", b"Transfer-Encodings", b"X-Transfer-Encoding"):
    passes(f, f"{name.decode()} is another field", "9110 5.1",
           P + name + b": chunked\r\nContent-Length: 3\r\n" + END + b"abc",
           P + name + b": chunked\r\nContent-Length: 3\r\n" + END + b"abc")

f = "CL.0"
body = SMUGGLED
L = b"Content-Length: %d\r\n" % len(body)
for method in (b"GET", b"POST", b"DELETE", b"OPTIONS", b"PUT", b"M-SEARCH"):
    line = method + b" / HTTP/1.1\r\n" + HOST
    passes(f, f"a {method.decode()} whose body is a request", "9110 9.3, 9112 6.3",
           line + L + END + body, line + L + END + body)
passes(f, "a HEAD with a body", "9110 9.3.2", b"HEAD / HTTP/1.1\r\n" + HOST + L + END + body,
       b"HEAD / HTTP/1.1\r\n" + HOST + L + END + body, methods=[b"HEAD"])
passes(f, "length 0, then a second request", "9112 9.3.2",
       P + b"Content-Length: 0\r\n" + END + SMUGGLED,
       P + b"Content-Length: 0\r\n" + END + SMUGGLED, [OK, OK])
for method in (b"CONNECT h:80", b"TRACE /"):
    refused(f, f"{method.split()[0].decode()} with a length", "9110 9.3.6, 9.3.8",
            method + b" HTTP/1.1\r\nHost: h:80\r\n" + L + END + body, 400, "content_length_forbidden")
    refused(f, f"{method.split()[0].decode()} in chunks", "9110 9.3.6, 9.3.8",
            method + b" HTTP/1.1\r\nHost: h:80\r\n" + TE + END + CHUNKS, 400,
            "transfer_encoding_forbidden")

f = "Content-Length"
bad = "bad_content_length"
for name, value in (
        ("a plus", b"+3"), ("a minus", b"-3"), ("hexadecimal", b"0x3"), ("a list of equals", b"3, 3"),
        ("a list", b"3,4"), ("a fraction", b"3.0"), ("an exponent", b"3e0"), ("two numbers", b"3 3"),
        ("a word", b"three"), ("empty", b""), ("a blank inside", b"1 0"), ("2^63", b"9223372036854775808"),
        ("2^64 + 3", b"18446744073709551619"), ("forty digits", b"0" * 39 + b"3x"),
        ("an underscore", b"1_0"), ("a digit that is not ASCII", b"\xd9\xa3"), ("a semicolon", b"3;"),
        ("a quote", b'"3"'), ("a trailing letter", b"3x")):
    refused(f, name, "9110 8.6, 9112 6.3 rule 5", P + b"Content-Length: " + value + b"\r\n" + END +
            b"abc", 400, bad)
for name, fields, reason in (
        ("twice, equal", b"Content-Length: 3\r\nContent-Length: 3\r\n", "content_length_twice"),
        ("twice, different", b"Content-Length: 3\r\nContent-Length: 0\r\n", "content_length_twice"),
        ("twice, the first empty", b"Content-Length:\r\nContent-Length: 3\r\n", bad),
        ("twice, in two cases", b"Content-Length: 3\r\ncontent-LENGTH: 5\r\n", "content_length_twice"),
        ("space before the colon", b"Content-Length : 3\r\n", "space_before_colon"),
        ("folded", b"Content-Length:\r\n 3\r\n", bad),
        ("behind a bare LF", b"X: y\nContent-Length: 3\r\n", "bare_cr_or_lf"),
        ("a vertical tab", b"Content-Length: \x0b3\r\n", "control_character"),
        ("a NUL", b"Content-Length: 3\0\r\n", "control_character")):
    refused(f, name, "9110 8.6, 9112 5", P + fields + END + b"abc", 400, reason)
for name, value in (("leading zeros", b"0003"), ("blanks around", b" \t3 \t"), ("plain", b"3")):
    passes(f, name, "9110 8.6", P + b"Content-Length: " + value + b"\r\n" + END + b"abc",
           P + b"Content-Length: 3\r\n" + END + b"abc")
passes(f, "Content_Length is another field", "9110 5.1",
       G + b"Content_Length: 3\r\n" + END, G + b"Content_Length: 3\r\n" + END)
passes(f, "the client ends inside the body", "9112 6.3, 8",
       P + b"Content-Length: 10\r\n" + END + b"abc", P + b"Content-Length: 10\r\n" + END + b"abc", [],
       shut=True, closes=True, cut=True, logs=[A(0, "downstream_closed")])

f = "chunk sizes"
PT = P + TE + END
size, ext = "bad_chunk_size", "bad_chunk_extension"
for name, chunk, reason in (
        ("0x", b"0x3\r\nabc", size), ("a plus", b"+3\r\nabc", size), ("a minus", b"-3\r\nabc", size),
        ("a letter beyond f", b"g\r\nabc", size), ("empty", b"\r\nabc", size),
        ("a blank before", b" 3\r\nabc", size), ("a blank behind", b"3 \r\nabc", ext),
        ("2^64 + 3", b"10000000000000003\r\nabc", size), ("2^63", b"8000000000000000\r\nabc", size),
        ("seventeen zeros and a digit", b"0" * 17 + b"3\r\nabc", size),
        ("a comma", b"3,\r\nabc", size), ("a dot", b"3.\r\nabc", size), ("an underscore", b"1_0\r\nabc", size),
        ("a bare LF behind", b"3\nabc", "bare_cr_or_lf"), ("a bare CR behind", b"3\rabc", "bare_cr_or_lf"),
        ("CR CR LF", b"3\r\r\nabc", "bare_cr_or_lf"), ("a NUL behind", b"3\0\r\nabc", size),
        ("a vertical tab", b"3\x0b\r\nabc", size), ("a no-break space", b"3\xa0\r\nabc", size)):
    cut(f, name, "9112 7.1", PT + chunk + b"\r\n0\r\n\r\n", reason, PT)
for name, chunk in (("more data than said", b"2\r\nabc\r\n"), ("no line end behind the data", b"3\r\nabc0\r\n\r\n"),
                    ("a bare LF behind the data", b"3\r\nabc\n0\r\n\r\n"),
                    ("LF CR behind the data", b"3\r\nabc\n\r0\r\n\r\n"),
                    ("junk before the line end", b"3\r\nabcXX\r\n0\r\n\r\n"),
                    ("a bare CR behind the data", b"3\r\nabc\r0\r\n\r\n")):
    cut(f, name, "9112 7.1", PT + chunk, "bad_chunk_end", PT + b"3\r\nabc\r\n" if chunk[:1] == b"3"
        else PT + b"2\r\nab\r\n")
for name, chunk in (("capital letters", b"00A"), ("leading zeros", b"000a"), ("small letters", b"a")):
    passes(f, name, "9112 7.1", PT + chunk + b"\r\n0123456789\r\n0\r\n\r\n",
           PT + b"a\r\n0123456789\r\n0\r\n\r\n")
passes(f, "a last chunk of many zeros", "9112 7.1", PT + b"3\r\nabc\r\n000\r\n\r\n",
       PT + CHUNKS)
passes(f, "a request behind the last chunk", "9112 9.3.2", PT + CHUNKS + SMUGGLED,
       PT + CHUNKS + SMUGGLED, [OK, OK])
passes(f, "the client ends inside a chunk", "9112 8", PT + b"5\r\nab", PT + b"2\r\nab\r\n", [],
       shut=True, closes=True, cut=True, logs=[A(0, "downstream_closed")])
passes(f, "the client ends before the last chunk", "9112 8", PT + b"2\r\nab\r\n", PT + b"2\r\nab\r\n", [],
       shut=True, closes=True, cut=True, logs=[A(0, "downstream_closed")])

f = "chunk extensions"
for name, e, reason in (
        ("a bare LF inside", b";a\nb=c", "bare_cr_or_lf"), ("a bare LF behind", b";a\n", "bare_cr_or_lf"),
        ("a bare CR inside", b";a\rb", "bare_cr_or_lf"), ("no name", b";", ext), ("no value", b";a=", ext),
        ("an open quote", b';a="b', ext), ("a control", b";a=\x01", ext), ("a NUL", b";a\0", ext),
        ("two values", b";a=b=c", ext), ("a blank at the end", b";a ", ext),
        ("a name that is no token", b";(a)", ext), ("junk behind a quoted value", b';a="b"c', ext),
        ("a bare LF in quotes", b';a="\n"', "bare_cr_or_lf"), ("a CRLF in quotes", b';a="\r\n', ext),
        ("too long", b";" + b"a" * 300, ext), ("DEL", b";a=\x7f", ext)):
    cut(f, name, "9112 7.1.1", PT + b"3" + e + b"\r\nabc\r\n0\r\n\r\n", reason, PT)
cut(f, "too many in one body", "9112 7.1.1",
    PT + (b"1;" + b"a" * 250 + b"\r\nx\r\n") * 100 + b"0\r\n\r\n", ext, PT + b"1\r\nx\r\n" * 100)
for name, e in (("a name", b";a"), ("a value", b";a=b"), ("a quoted value", b';a="b \\" c"'),
                ("several, with blanks", b' ; a = b ; c'), ("a quoted semicolon", b';a=";\t"')):
    passes(f, name + " is left out", "9112 7.1.1", PT + b"3" + e + b"\r\nabc\r\n0" + e + b"\r\n\r\n",
           PT + CHUNKS)

f = "trailers"
T = PT + b"3\r\nabc\r\n0\r\n"
for name, lines, reason, status in (
        ("space before the colon", b"A : b\r\n", "space_before_colon", 400),
        ("folded", b"A: b\r\n c\r\n", "folded_field", 400),
        ("no colon", b"abc\r\n", "bad_field_name", 400),
        ("a request in their place", b"GET /smuggled HTTP/1.1\r\nHost: h\r\n", "space_before_colon", 400),
        ("a pseudo-header field", b":path: /x\r\n", "bad_field_name", 400),
        ("a bare LF", b"A: b\n", "bare_cr_or_lf", 400),
        ("a bare CR", b"A: b\rc\r\n", "bare_cr_or_lf", 400),
        ("a NUL", b"A: \0\r\n", "control_character", 400),
        ("too many", b"A: b\r\n" * 33, "trailers_too_large", 431),
        ("too long", b"A: " + b"b" * 9000 + b"\r\n", "trailers_too_large", 431)):
    cut(f, name, "9112 7.1.2, 5", T + lines + END, reason, PT + b"3\r\nabc\r\n", status)
cut(f, "an empty line of LF alone", "9112 7.1", PT + b"3\r\nabc\r\n0\r\n\n", "bare_cr_or_lf",
    PT + b"3\r\nabc\r\n")
for name in (b"Content-Length", b"Transfer-Encoding", b"Host", b"Set-Cookie", b"Authorization",
             b"Cookie", b"Content-Type", b"Content-Encoding", b"Cache-Control", b"Range", b"Trailer",
             b"Connection", b"TE", b"Expect", b"Max-Forwards", b"ServiceIdentity", b"X-Forwarded-For"):
    passes(f, f"{name.decode()} is left out", "9110 6.5.1", T + b"A: 1\r\n" + name + b": 5\r\nB: 2\r\n" + END,
           T + b"A: 1\r\nB: 2\r\n" + END)
passes(f, "what may be one passes", "9110 6.5", T + b"Checksum: abc\r\nGrpc-Status: 0\r\n" + END,
       T + b"Checksum: abc\r\nGrpc-Status: 0\r\n" + END)

f = "bare CR and LF"
lf = "bare_cr_or_lf"
for name, data, reason in (
        ("LF ends the request line", b"GET / HTTP/1.1\nHost: h\r\n\r\n", lf),
        ("LF ends a field", b"GET / HTTP/1.1\r\nHost: h\n\r\n", lf),
        ("LF ends the head", G + b"\n", lf),
        ("LF everywhere", b"GET / HTTP/1.1\nHost: h\n\n", lf),
        ("CR in the target", b"GET /\r HTTP/1.1\r\nHost: h\r\n\r\n", lf),
        ("LF in the target", b"GET /\nx HTTP/1.1\r\nHost: h\r\n\r\n", lf),
        ("CR in a name", G + b"A\rB: c\r\n\r\n", lf), ("LF in a name", G + b"A\nB: c\r\n\r\n", lf),
        ("CR in a value", G + b"A: b\rc\r\n\r\n", lf), ("CR CR LF ends a field", G + b"A: b\r\r\n\r\n", lf),
        ("LF CR ends a field", G + b"A: b\n\r\n\r\n", lf), ("CR ends the request line", b"GET / HTTP/1.1\rHost: h\r\n\r\n", lf),
        ("CR in the method", b"G\rET / HTTP/1.1\r\nHost: h\r\n\r\n", lf),
        ("LF in the version", b"GET / HTTP/1\n.1\r\nHost: h\r\n\r\n", lf),
        ("LF in Host", b"GET / HTTP/1.1\r\nHost: h\nX: y\r\n\r\n", lf),
        ("LF before the request", b"\n" + FORWARDED, "bad_method"),
        ("two empty lines before the request", b"\r\n\r\n" + FORWARDED, "bad_method"),
        ("CR before the request", b"\r" + FORWARDED, lf)):
    refused(f, name, "9112 2.2", data, 400, reason)
passes(f, "one empty line before the request", "9112 2.2", b"\r\n" + FORWARDED, FORWARDED)

f = "NUL and other controls"
for name, data, reason in (
        ("NUL in the method", b"G\0ET / HTTP/1.1\r\nHost: h\r\n\r\n", "bad_method"),
        ("NUL in the target", b"GET /\0 HTTP/1.1\r\nHost: h\r\n\r\n", "control_character"),
        ("NUL in the version", b"GET / HTTP/1.\0\r\nHost: h\r\n\r\n", "bad_version"),
        ("NUL in a name", G + b"A\0: b\r\n\r\n", "bad_field_name"),
        ("NUL in a value", G + b"A: b\0c\r\n\r\n", "control_character"),
        ("NUL in Host", b"GET / HTTP/1.1\r\nHost: h\0\r\n\r\n", "control_character"),
        ("NUL before the request", b"\0" + FORWARDED, "bad_method"),
        ("escape in a value", G + b"A: \x1b[2J\r\n\r\n", "control_character"),
        ("DEL in a value", G + b"A: \x7f\r\n\r\n", "control_character"),
        ("DEL in the target", b"GET /\x7f HTTP/1.1\r\nHost: h\r\n\r\n", "control_character"),
        ("backspace in a name", G + b"A\x08B: c\r\n\r\n", "bad_field_name"),
        ("vertical tab in a value", G + b"A: \x0b\r\n\r\n", "control_character"),
        ("a byte above 0x7f in a name", G + b"A\xe4: b\r\n\r\n", "bad_field_name"),
        ("a byte above 0x7f in the target", b"GET /\xe4 HTTP/1.1\r\nHost: h\r\n\r\n", "bad_target"),
        ("a byte above 0x7f in the method", b"G\xc4T / HTTP/1.1\r\nHost: h\r\n\r\n", "bad_method")):
    refused(f, name, "9110 5.5, 9112 3", data, 400, reason)
passes(f, "bytes above 0x7f in a value", "9110 5.5", G + b"A: \xc3\xa4\xff\r\n\r\n",
       G + b"A: \xc3\xa4\xff\r\n\r\n")
passes(f, "a tab in a value", "9110 5.5", G + b"A: b\tc\r\n\r\n", G + b"A: b\tc\r\n\r\n")

f = "folded fields and blanks"
for name, data, reason in (
        ("folded by a space", G + b"A: b\r\n c\r\n\r\n", "folded_field"),
        ("folded by a tab", G + b"A: b\r\n\tc\r\n\r\n", "folded_field"),
        ("a fold before the first field", b"GET / HTTP/1.1\r\n Host: h\r\n\r\n", "folded_field"),
        ("an empty fold", G + b"A: b\r\n \r\n\r\n", "folded_field"),
        ("Host folded", b"GET / HTTP/1.1\r\nHost:\r\n h\r\n\r\n", "bad_host"),
        ("space before the colon", G + b"A : b\r\n\r\n", "space_before_colon"),
        ("tab before the colon", G + b"A\t: b\r\n\r\n", "space_before_colon"),
        ("space in a name", G + b"A B: c\r\n\r\n", "space_before_colon"),
        ("space before Host's colon", b"GET / HTTP/1.1\r\nHost : h\r\n\r\n", "space_before_colon"),
        ("no name", G + b": b\r\n\r\n", "bad_field_name"), ("no colon", G + b"abc\r\n\r\n", "bad_field_name"),
        ("a quote in a name", G + b'"A": b\r\n\r\n', "bad_field_name"),
        ("a slash in a name", G + b"A/B: c\r\n\r\n", "bad_field_name")):
    refused(f, name, "9112 5.1, 5.2", data, 400, reason)
passes(f, "blanks around a value are no part of it", "9112 5.1", G + b"A:\t b c \t\r\n\r\n",
       G + b"A: b c\r\n\r\n")
passes(f, "an empty value", "9110 5.5", G + b"A:\r\n\r\n", G + b"A: \r\n\r\n")

f = "Host"
N = b"GET / HTTP/1.1\r\n"
for name, data, reason in (
        ("none", N + b"A: b\r\n\r\n", "host_missing"), ("twice, equal", G + HOST + END, "host_twice"),
        ("twice, different", G + b"Host: p\r\n\r\n", "host_twice"),
        ("twice, in two cases", G + b"hOST: p\r\n\r\n", "host_twice"),
        ("empty", N + b"Host:\r\n\r\n", "bad_host"), ("a list", N + b"Host: h, p\r\n\r\n", "bad_host"),
        ("userinfo", N + b"Host: u@h\r\n\r\n", "bad_host"), ("a path", N + b"Host: h/x\r\n\r\n", "bad_host"),
        ("a query", N + b"Host: h?x\r\n\r\n", "bad_host"), ("a fragment", N + b"Host: h#x\r\n\r\n", "bad_host"),
        ("a URI", N + b"Host: http://h\r\n\r\n", "bad_host"), ("a blank", N + b"Host: h p\r\n\r\n", "bad_host"),
        ("an escape", N + b"Host: %68\r\n\r\n", "bad_host"), ("a port that is none", N + b"Host: h:http\r\n\r\n", "bad_host"),
        ("port 0", N + b"Host: h:0\r\n\r\n", "bad_host"), ("port 65536", N + b"Host: h:65536\r\n\r\n", "bad_host"),
        ("two ports", N + b"Host: h:80:80\r\n\r\n", "bad_host"), ("a backslash", N + b"Host: h\\p\r\n\r\n", "bad_host"),
        ("an open bracket", N + b"Host: [::1\r\n\r\n", "bad_host"), ("a zone", N + b"Host: [fe80::1%25eth0]\r\n\r\n", "bad_host"),
        ("not ASCII", N + b"Host: h\xc3\xa4\r\n\r\n", "bad_host"), ("a quote", N + b'Host: "h"\r\n\r\n', "bad_host"),
        ("a parenthesis", N + b"Host: h()\r\n\r\n", "bad_host")):
    refused(f, name, "9112 3.2, 9110 7.2", data, 400, reason)
for name, host in (("unknown", b"other"), ("an address", b"10.1.2.3"), ("an IPv6 address", b"[::1]:80"),
                   ("a name that begins alike", b"hh"), ("a name below", b"x.h")):
    passes(f, name + " is refused by policy", "9110 7.2", N + b"Host: " + host + b"\r\n\r\n", b"",
           [A(403, "host_unknown")])
passes(f, "none in HTTP/1.0", "9112 3.2", b"GET / HTTP/1.0\r\n\r\n", b"", [A(403, "host_unknown")],
       closes=True)
for name, host in (("another case", b"H"), ("with the final dot", b"h.")):
    passes(f, name, "9110 4.2.3, 3986 6.2.2.1", N + b"Host: " + host + b"\r\n\r\n",
           N + b"Host: h\r\n\r\n")

f = "request target"
for name, line, reason, status in (
        ("none", b"GET HTTP/1.1", "bad_request_line", 400), ("two blanks before", b"GET  / HTTP/1.1", "bad_request_line", 400),
        ("two blanks behind", b"GET /  HTTP/1.1", "bad_version", 400), ("a tab before", b"GET\t/ HTTP/1.1", "bad_method", 400),
        ("a tab behind", b"GET /\tHTTP/1.1", "control_character", 400), ("a blank inside", b"GET /a b HTTP/1.1", "bad_version", 400),
        ("relative", b"GET a/b HTTP/1.1", "bad_target", 400), ("a bare query", b"GET ?a HTTP/1.1", "bad_target", 400),
        ("a fragment", b"GET /a#b HTTP/1.1", "bad_target", 400), ("a quote", b'GET /"a HTTP/1.1', "bad_target", 400),
        ("angle brackets", b"GET /<a> HTTP/1.1", "bad_target", 400), ("a backslash", b"GET /a\\b HTTP/1.1", "bad_target", 400),
        ("a backslash first", b"GET \\a HTTP/1.1", "bad_target", 400),
        ("* for GET", b"GET * HTTP/1.1", "bad_target", 400), ("an authority for GET", b"GET h:80 HTTP/1.1", "bad_target", 400),
        ("another scheme", b"GET ftp://h/ HTTP/1.1", "bad_scheme", 400), ("file:", b"GET file:///etc/passwd HTTP/1.1", "bad_scheme", 400),
        ("userinfo", b"GET http://u@h/ HTTP/1.1", "bad_host", 400), ("an empty authority", b"GET http:///a HTTP/1.1", "bad_host", 400),
        ("one slash", b"GET http:/h/ HTTP/1.1", "bad_target", 400), ("a backslash in the authority", b"GET http://h\\@p/ HTTP/1.1", "bad_target", 400),
        ("a fragment in a URI", b"GET http://h/#a HTTP/1.1", "bad_target", 400),
        ("an escape in the authority", b"GET http://%68/ HTTP/1.1", "bad_host", 400),
        ("a NUL escape in the authority", b"GET http://h%00p/ HTTP/1.1", "bad_host", 400),
        ("CONNECT of a path", b"CONNECT / HTTP/1.1", "bad_target", 400), ("CONNECT of a URI", b"CONNECT http://h:80/ HTTP/1.1", "bad_target", 400),
        ("CONNECT without a port", b"CONNECT h HTTP/1.1", "bad_target", 400),
        ("CONNECT of another host", b"CONNECT p:80 HTTP/1.1", "host_differs_from_target", 400)):
    refused(f, name, "9112 3, 3.2", line + END + HOST + END, status, reason)
for name, line, forwards in (
        ("absolute form", b"GET http://h/a?b HTTP/1.1", b"GET /a?b HTTP/1.1\r\nHost: h\r\n\r\n"),
        ("absolute form without a path", b"GET http://h HTTP/1.1", b"GET / HTTP/1.1\r\nHost: h\r\n\r\n"),
        ("a query without a path", b"GET http://h?x HTTP/1.1", b"GET /?x HTTP/1.1\r\nHost: h\r\n\r\n"),
        ("scheme and host in another case", b"GET HTTP://H/ HTTP/1.1", b"GET / HTTP/1.1\r\nHost: h\r\n\r\n"),
        ("OPTIONS *", b"OPTIONS * HTTP/1.1", b"OPTIONS * HTTP/1.1\r\nHost: h\r\n\r\n"),
        ("OPTIONS of the server in absolute form", b"OPTIONS http://h HTTP/1.1", b"OPTIONS * HTTP/1.1\r\nHost: h\r\n\r\n"),
        ("an empty query", b"GET /? HTTP/1.1", b"GET /? HTTP/1.1\r\nHost: h\r\n\r\n"),
        ("a URI in the query", b"GET /?u=http://x/../y HTTP/1.1", b"GET /?u=http://x/../y HTTP/1.1\r\nHost: h\r\n\r\n"),
        ("a double slash first", b"GET //x/y HTTP/1.1", b"GET //x/y HTTP/1.1\r\nHost: h\r\n\r\n"),
        ("braces, as browsers send them", b"GET /{a}|b^c`[d] HTTP/1.1", b"GET /{a}|b^c`[d] HTTP/1.1\r\nHost: h\r\n\r\n")):
    passes(f, name, "9112 3.2, 9110 4.2.3", line + END + HOST + END, forwards)
other = b"GET http://h/ HTTP/1.1\r\nHost: "
for host in (b"p", b"other", b"h:81", b"10.0.0.1"):
    passes("absolute form against Host", f"Host: {host.decode()} is ignored", "9112 3.2.2",
           other + host + END + END, FORWARDED)
passes("absolute form against Host", "the target's host decides", "9112 3.2.2",
       b"GET http://other/ HTTP/1.1\r\nHost: h\r\n\r\n", b"", [A(403, "host_unknown")])
passes("absolute form against Host", "the target's routes decide", "9112 3.2.2",
       b"GET http://p/x HTTP/1.1\r\nHost: h\r\n\r\n", b"", [A(403, "route_not_found")])
refused("absolute form against Host", "a Host that is none is still refused", "9112 3.2",
        b"GET http://h/ HTTP/1.1\r\nHost: a b\r\n\r\n", 400, "bad_host")
refused("absolute form against Host", "two Hosts are still refused", "9112 3.2",
        b"GET http://h/ HTTP/1.1\r\nHost: h\r\nHost: h\r\n\r\n", 400, "host_twice")

# host p: /open/.* and /exact for anybody, nothing else
denied, bad_path = A(403, "route_not_found"), A(400, "bad_path")
PATHS = (
    ("another path", b"/secret", denied), ("dot segments out", b"/open/../secret", denied),
    ("escaped dots out", b"/open/%2e%2e/secret", denied), ("half escaped dots out", b"/open/.%2E/secret", denied),
    ("dots at the end", b"/open/x/..", b"/open/"), ("dots above the root", b"/../open/x", bad_path),
    ("escaped slash out", b"/open/..%2fsecret", bad_path), ("escaped slash inside", b"/open%2fx", bad_path),
    ("escaped slash in a segment", b"/open/a%2Fb", bad_path), ("escaped backslash out", b"/open/..%5csecret", bad_path),
    ("escaped NUL", b"/open/x%00.html", bad_path), ("escaped NUL behind the exact path", b"/exact%00", bad_path),
    ("overlong slash of two bytes", b"/open/..%c0%afsecret", bad_path),
    ("overlong dots of two bytes", b"/open/%c0%ae%c0%ae/secret", bad_path),
    ("overlong slash of three bytes", b"/open/..%e0%80%afsecret", bad_path),
    ("overlong slash of four bytes", b"/open/..%f0%80%80%afsecret", bad_path),
    ("a lone per cent", b"/open/%", bad_path), ("a bad escape", b"/open/%zz", bad_path),
    ("an escape of IIS", b"/open/%u002e", bad_path),
    ("a parameter behind dots", b"/open/..;/secret", bad_path), ("a parameter behind a dot", b"/open/.;x/y", bad_path),
    ("a parameter behind escaped dots", b"/open/%2e%2e;a=b/secret", bad_path),
    ("a parameter in the way", b"/open;x/y", denied), ("a parameter", b"/open/a;b=c", b"/open/a;b=c"),
    ("a parameter behind the exact path", b"/exact;x", denied),
    ("slashes doubled", b"//open//x", b"/open/x"), ("slashes before dots", b"/open//../secret", denied),
    ("a slash behind the exact path", b"/exact/", denied), ("a dot behind the exact path", b"/exact/.", denied),
    ("another case", b"/OPEN/x", denied), ("escaped letters", b"/%6fpen/%78", b"/open/x"),
    ("escaped twice", b"/open/%252e%252e/secret", b"/open/%252e%252e/secret"),
    ("escaped in parts", b"/open/%25%32%65/x", b"/open/%252e/x"),
    ("dots that lead back in", b"/secret/../open/x", b"/open/x"), ("a dot segment", b"/./open/./x", b"/open/x"),
    ("three dots", b"/open/.../x", b"/open/.../x"), ("an escaped question mark", b"/exact%3f", denied),
    ("an escaped number sign", b"/open/%23", b"/open/%23"), ("an escaped line end", b"/open/%0d%0a", b"/open/%0D%0A"),
    ("small hex digits", b"/open/%c3%a4", b"/open/%C3%A4"), ("a query that looks like a path", b"/exact?/../secret", b"/exact?/../secret"),
    ("the exact path", b"/exact", b"/exact"), ("trailing dots", b"/open/x./y.", b"/open/x./y."))
for name, path, want in PATHS:
    line = b"GET " + path + b" HTTP/1.1\r\nHost: p\r\n\r\n"
    if isinstance(want, A):
        passes("path confusion", name, "3986 6.2.2, 9110 4.2.3", line, b"", [want])
    else:
        passes("path confusion", name, "3986 6.2.2, 9110 4.2.3", line,
               b"GET " + want + b" HTTP/1.1\r\nHost: p\r\n\r\n")
for path in (b"/a//b/./c/../%7Eu/%41?q=%41", b"/a%2fb%5c", b"/..%2f..%2fx"):
    passes("path confusion", f"{path.decode()} as it is where paths do not decide", "9110 7.7",
           b"GET " + path + b" HTTP/1.1\r\n" + HOST + END, b"GET " + path + b" HTTP/1.1\r\n" + HOST + END)

f = "methods"
for name, method, reason in (("empty", b"", "bad_method"), ("a parenthesis", b"G(T", "bad_method"),
                             ("a colon", b"GET:", "bad_method"), ("a slash", b"G/T", "bad_method"),
                             ("a quote", b'"GET"', "bad_method"), ("a comma", b"GET,POST", "bad_method"),
                             ("a blank before", b" GET", "bad_method"), ("a field", b"X:", "bad_method")):
    refused(f, name, "9110 9.1, 5.6.2", method + b" / HTTP/1.1\r\n" + HOST + END, 400, reason)
for name, method in (("an unknown one", b"BREW"), ("small letters are another method", b"get"),
                     ("every character of a token", b"!#$%&'*+-.^_`|~a1"), ("PRI in HTTP/1.1", b"PRI"),
                     ("a long one", b"A" * 1000)):
    line = method + b" / HTTP/1.1\r\n" + HOST + END
    passes(f, name, "9110 9.1", line, line)
M = b" / HTTP/1.1\r\nHost: m\r\n"
for name, method, ok in (("one that policy allows", b"GET", True), ("an unknown one that policy allows", b"BREW", True),
                         ("one that policy does not allow", b"PUT", False), ("small letters against policy", b"get", False),
                         ("overridden by a field", b"POST", False), ("longer than one that is allowed", b"GETX", False)):
    more = b"X-HTTP-Method-Override: GET\r\n" if name.startswith("over") else b""
    passes(f, name, "9110 9.1", method + M + more + END, method + M + END if ok else b"",
           [OK if ok else A(403, "route_not_found")])

f = "versions"
for name, line, status, reason in (
        ("HTTP/0.9", b"GET /", 400, "bad_request_line"), ("HTTP/0.9 with its number", b"GET / HTTP/0.9", 505, "unsupported_version"),
        ("HTTP/1.2", b"GET / HTTP/1.2", 505, "unsupported_version"), ("HTTP/2.0", b"GET / HTTP/2.0", 505, "unsupported_version"),
        ("HTTP/9.9", b"GET / HTTP/9.9", 505, "unsupported_version"), ("HTTP/2", b"GET / HTTP/2", 400, "bad_version"),
        ("HTTP/1.10", b"GET / HTTP/1.10", 400, "bad_version"), ("HTTP/01.1", b"GET / HTTP/01.1", 400, "bad_version"),
        ("HTTP/1.01", b"GET / HTTP/1.01", 400, "bad_version"), ("small letters", b"GET / http/1.1", 400, "bad_version"),
        ("HTTP/1", b"GET / HTTP/1", 400, "bad_version"), ("HTTP/+1.1", b"GET / HTTP/+1.1", 400, "bad_version"),
        ("a blank inside", b"GET / HTTP/ 1.1", 400, "bad_version"), ("a blank behind", b"GET / HTTP/1.1 ", 400, "bad_version"),
        ("another protocol", b"GET / ICY/1.1", 400, "bad_version"), ("junk behind", b"GET / HTTP/1.1x", 400, "bad_version"),
        ("RTSP", b"GET / RTSP/1.0", 400, "bad_version"), ("two of them", b"GET / HTTP/1.1 HTTP/1.1", 400, "bad_version")):
    refused(f, name, "9112 2.3, 3", line + END + HOST + END, status, reason)
passes(f, "HTTP/1.0", "9112 2.5", b"GET / HTTP/1.0\r\n" + HOST + END, FORWARDED, closes=True)
passes(f, "HTTP/1.0 kept alive", "9112 9.3", b"GET / HTTP/1.0\r\n" + HOST + b"Connection: keep-alive\r\n\r\n", FORWARDED)

f = "upgrades"
H2C = b"Connection: Upgrade, HTTP2-Settings\r\nUpgrade: h2c\r\nHTTP2-Settings: AAMAAABkAAQAAP__\r\n"
passes(f, "h2c is not asked for", "9110 7.8, 7540 3.2", G + H2C + END, FORWARDED)
passes(f, "h2c in a list is not asked for", "9110 7.8", G + b"Connection: upgrade\r\nUpgrade: websocket, h2c\r\n\r\n", FORWARDED)
passes(f, "H2C in capitals", "9110 7.8", G + b"Connection: upgrade\r\nUpgrade: H2C\r\n\r\n", FORWARDED)
passes(f, "h2c with a body", "9110 7.8", P + H2C + b"Content-Length: 3\r\n\r\nabc", P + b"Content-Length: 3\r\n\r\nabc")
passes(f, "an unknown protocol", "9110 7.8", G + b"Connection: upgrade\r\nUpgrade: other/1\r\n\r\n", FORWARDED)
passes(f, "Upgrade that Connection does not name", "9110 7.8", G + b"Upgrade: websocket\r\n\r\n", FORWARDED)
passes(f, "Connection: upgrade alone", "9110 7.8", G + b"Connection: upgrade\r\n\r\n", FORWARDED)
passes(f, "an upgrade with a body", "9110 7.8", P + b"Connection: upgrade\r\nUpgrade: websocket\r\nContent-Length: 3\r\n\r\nabc",
       P + b"Content-Length: 3\r\n\r\nabc")
passes(f, "an upgrade in HTTP/1.0", "9110 7.8", b"GET / HTTP/1.0\r\n" + HOST + b"Connection: upgrade\r\nUpgrade: websocket\r\n\r\n",
       FORWARDED, closes=True)
passes(f, "an upgrade that is not agreed to, and a request behind it", "9110 7.8, 9931: it stays HTTP",
       G + b"Connection: upgrade\r\nUpgrade: websocket\r\n\r\n" + SMUGGLED,
       G + b"Upgrade: websocket\r\nConnection: upgrade\r\n\r\n" + SMUGGLED, [OK, OK], ways=("1-1",))

CONNECT = b"CONNECT h:80 HTTP/1.1\r\nHost: h:80\r\n\r\n"
NO_TUNNEL = "9110 9.3.6, 9931: closed, and nothing behind it is HTTP"
passes(f, "a CONNECT that is refused", NO_TUNNEL, CONNECT, CONNECT, [A(405)], ways=("1-1",), methods=[b"CONNECT"], closes=True)
passes(f, "a CONNECT that is refused, and a request behind it", NO_TUNNEL, CONNECT + SMUGGLED, CONNECT, [A(405)],
       ways=("1-1", "1-2-1"), methods=[b"CONNECT"], closes=True)
refused(f, "a CONNECT to a host that nobody knows, and a request behind it", NO_TUNNEL,
        b"CONNECT other:80 HTTP/1.1\r\nHost: other:80\r\n\r\n" + SMUGGLED, 403, "host_unknown")
passes(f, "https in absolute form", "9110 4.2.2", b"GET https://h/ HTTP/1.1\r\n" + HOST + END, FORWARDED, scheme=b"https")

f = "hop-by-hop fields"
for option in (b"Content-Length", b"Transfer-Encoding", b"Host", b"close, hOsT"):
    refused(f, f"Connection: {option.decode()}", "9110 7.6.1", P + b"Connection: " + option +
            b"\r\nContent-Length: 3\r\n\r\nabc", 400, "connection_names_framing")
for name, fields, kept in (
        ("what Connection names is left out", b"Connection: x-a, X-B\r\nX-A: 1\r\nx-b: 2\r\nX-C: 3\r\n", b"X-C: 3\r\n"),
        ("before it was named", b"X-A: 1\r\nConnection: x-a\r\n", b""),
        ("Keep-Alive, Proxy-Connection, TE", b"Keep-Alive: timeout=5\r\nProxy-Connection: close\r\nTE: gzip\r\n", b""),
        ("empty options", b"Connection: ,, ,\r\nA: b\r\n", b"A: b\r\n"),
        ("Connection twice", b"Connection: x-a\r\nConnection: x-b\r\nX-A: 1\r\nX-B: 2\r\n", b""),
        ("HTTP2-Settings", b"HTTP2-Settings: AAMAAABkAAQAAP__\r\n", b"")):
    passes(f, name, "9110 7.6.1", G + fields + END, G + kept + END)
passes(f, "Connection: close, and a request behind it", "9112 9.6", G + b"Connection: close\r\n\r\n" + SMUGGLED, FORWARDED,
       closes=True)

f = "our own fields"
for name, fields in (("an identity", b"ServiceIdentity: admin.default.cluster.local\r\n"), ("two identities", b"serviceidentity: a\r\nSERVICEIDENTITY: b\r\n"),
                     ("the protocol", b"fsm-protocol: h2\r\n"), ("named in Connection", b"Connection: serviceidentity\r\nServiceIdentity: admin\r\n")):
    passes(f, name + " is not the client's to give", "the mesh's own", G + fields + END, FORWARDED)

f = "very long"
passes(f, "a request line of 8192 bytes", "9112 3", b"GET /" + b"a" * (8192 - 14) + b" HTTP/1.1\r\n" + HOST + END,
       b"GET /" + b"a" * (8192 - 14) + b" HTTP/1.1\r\n" + HOST + END)
refused(f, "a request line of 8193 bytes", "9112 3: 414", b"GET /" + b"a" * (8193 - 14) + b" HTTP/1.1\r\n" + HOST + END, 414,
        "request_line_too_long")
refused(f, "a request line without an end", "9112 3: 414", b"GET /" + b"a" * 60000, 414, "request_line_too_long")
refused(f, "a method without an end", "9112 3", b"A" * 60000, 414, "request_line_too_long")
refused(f, "a query of 20000 bytes", "9112 3: 414", b"GET /?" + b"a" * 20000 + b" HTTP/1.1\r\n" + HOST + END, 414, "request_line_too_long")
refused(f, "a field of 40000 bytes", "6585 5", G + b"A: " + b"b" * 40000 + b"\r\n\r\n", 431, "head_too_large")
refused(f, "a name of 40000 bytes", "6585 5", G + b"A" * 40000 + b": b\r\n\r\n", 431, "head_too_large")
refused(f, "101 fields", "6585 5", G + b"A: b\r\n" * 100 + END, 431, "too_many_fields")
passes(f, "100 fields", "9110 5.4", G + b"A: b\r\n" * 99 + END, G + b"A: b\r\n" * 99 + END, ways=("1-1", "1-2"))
refused(f, "500 short fields", "6585 5", G + b"A:\r\n" * 500 + END, 431, "too_many_fields")
passes(f, "a field of 20000 bytes", "9110 5.4", G + b"A: " + b"b" * 20000 + b"\r\n\r\n", G + b"A: " + b"b" * 20000 + b"\r\n\r\n")

f = "pipelining"
passes(f, "three requests at once", "9112 9.3.2", FORWARDED * 3, FORWARDED * 3, [OK, OK, OK])
passes(f, "a good one, then a bad one", "9112 9.3.2", FORWARDED + b"GET / HTTP/1.1\r\nHost : h\r\n\r\n" + SMUGGLED, FORWARDED,
       [OK, A(400, "space_before_colon")], closes=True)
passes(f, "junk behind a body", "9112 9.3.2, 6.3", P + b"Content-Length: 3\r\n\r\nabcdef\r\n\r\n", P + b"Content-Length: 3\r\n\r\nabc",
       [OK, A(400, "bad_request_line")], closes=True)
passes(f, "one empty line behind a body", "9112 2.2", P + b"Content-Length: 3\r\n\r\nabc\r\n" + SMUGGLED,
       P + b"Content-Length: 3\r\n\r\nabc" + SMUGGLED, [OK, OK])
passes(f, "Expect: 100-continue with the body behind it", "9110 10.1.1", P + b"Expect: 100-continue\r\nContent-Length: 3\r\n\r\nabc",
       P + b"Expect: 100-continue\r\nContent-Length: 3\r\n\r\nabc", ways=("1-1",))


# ---- HTTP/1 responses ---------------------------------------------------------------------------

R_WAYS = ("1-1", "2-1", "1-2-1")


def bad_response(family, name, rfc, reply, fault, ways=R_WAYS, **more):
    Case("r1", family, name, rfc, reply=reply, fault=fault, reason="upstream_protocol_error", ways=ways, **more)


def arrives(family, name, rfc, reply, client, ways=R_WAYS, **more):
    Case("r1", family, name, rfc, reply=reply, arrives=client, ways=ways, **more)


def broken(family, name, rfc, reply, reason="upstream_protocol_error", fault=None, ways=R_WAYS, **more):
    Case("r1", family, name, rfc, reply=reply, cut=True, reason=reason, fault=fault, ways=ways, **more)


S, TWO = b"HTTP/1.1 200 OK\r\n", b"Content-Length: 2\r\n"
GOOD = S + TWO + b"\r\nok"

f = "response framing"
for name, fields, fault in (
        ("two lengths, equal", TWO + TWO, "content_length_twice"), ("two lengths, different", TWO + b"Content-Length: 5\r\n", "content_length_twice"),
        ("a list of equal lengths", b"Content-Length: 2, 2\r\n", "bad_content_length"), ("a list of lengths", b"Content-Length: 2,5\r\n", "bad_content_length"),
        ("length and chunked", TWO + TE, "transfer_encoding_and_content_length"), ("chunked and length", TE + TWO, "transfer_encoding_and_content_length"),
        ("a plus", b"Content-Length: +2\r\n", "bad_content_length"), ("a minus", b"Content-Length: -2\r\n", "bad_content_length"),
        ("hexadecimal", b"Content-Length: 0x2\r\n", "bad_content_length"), ("2^64 + 2", b"Content-Length: 18446744073709551618\r\n", "bad_content_length"),
        ("an empty length", b"Content-Length:\r\n", "bad_content_length"), ("gzip, chunked", b"Transfer-Encoding: gzip, chunked\r\n", "unknown_transfer_coding"),
        ("chunked twice", TE + TE, "bad_transfer_encoding"), ("chunked, identity", b"Transfer-Encoding: chunked, identity\r\n", "bad_transfer_encoding"),
        ("xchunked", b"Transfer-Encoding: xchunked\r\n", "bad_transfer_encoding"), ("space before the colon", b"Content-Length : 2\r\n", "space_before_colon"),
        ("a length behind a bare LF", b"A: b\nContent-Length: 2\r\n", "bare_cr_or_lf"), ("folded", b"A: b\r\n c\r\n" + TWO, "folded_field"),
        ("Connection names the length", b"Connection: content-length\r\n" + TWO, "connection_names_framing")):
    bad_response(f, name, "9112 6.3", S + fields + END + b"ok", fault)
bad_response(f, "chunked in HTTP/1.0", "9112 6.1", b"HTTP/1.0 200 OK\r\n" + TE + END + CHUNKS, "transfer_encoding_in_http_1_0")
bad_response(f, "204 with a length", "9110 8.6", b"HTTP/1.1 204 No\r\n" + TWO + END + b"ok", "content_length_forbidden")
bad_response(f, "204 in chunks", "9112 6.1", b"HTTP/1.1 204 No\r\n" + TE + END + CHUNKS, "transfer_encoding_forbidden")
bad_response(f, "100 with a length", "9110 8.6", b"HTTP/1.1 100 C\r\n" + TWO + END + b"ok" + GOOD, "content_length_forbidden")
bad_response(f, "103 in chunks", "9112 6.1", b"HTTP/1.1 103 E\r\n" + TE + END + CHUNKS + GOOD, "transfer_encoding_forbidden")
arrives(f, "204 with length 0", "9110 8.6", b"HTTP/1.1 204 No\r\nContent-Length: 0\r\n\r\n", b"HTTP/1.1 204 No\r\n\r\n")
arrives(f, "until the connection ends", "9112 6.3 rule 8", S + b"\r\nall", S + TE + END + b"3\r\nall\r\n0\r\n\r\n", close=True)
arrives(f, "HTTP/1.0 until the connection ends", "9112 6.3 rule 8", b"HTTP/1.0 200 OK\r\n\r\nall", S + TE + END + b"3\r\nall\r\n0\r\n\r\n", close=True)
arrives(f, "chunked, with extensions", "9112 7.1.1", S + TE + b"\r\n2;a=b\r\nok\r\n0;c\r\n\r\n", S + TE + b"\r\n2\r\nok\r\n0\r\n\r\n")
arrives(f, "leading zeros of a length", "9110 8.6", S + b"Content-Length: 02\r\n\r\nok", GOOD)
arrives(f, "a second response behind the first", "9112 9.3", GOOD + S + b"Content-Length: 6\r\n\r\npoison", GOOD)
arrives(f, "a second response behind chunks", "9112 9.3", S + TE + END + b"2\r\nok\r\n0\r\n\r\n" + GOOD, S + TE + END + b"2\r\nok\r\n0\r\n\r\n")
arrives(f, "junk behind the body", "9112 6.3", GOOD + b"\r\n\r\njunk", GOOD)
arrives(f, "HEAD answered with a body", "9110 9.3.2", S + TWO + b"\r\nok", S + TWO + b"\r\n", asks=b"HEAD")
arrives(f, "HEAD answered with a whole response as body", "9110 9.3.2", S + TWO + END + GOOD, S + TWO + END, asks=b"HEAD")
arrives(f, "304 with a body", "9110 15.4.5", b"HTTP/1.1 304 Not Modified\r\nETag: \"a\"\r\n\r\nHTTP/1.1 200 OK\r\nContent-Length: 6\r\n\r\npoison",
        b"HTTP/1.1 304 Not Modified\r\nETag: \"a\"\r\n\r\n")
broken(f, "it ends inside the body", "9112 8", S + b"Content-Length: 10\r\n\r\nabc", "upstream_closed", close=True)
broken(f, "it ends inside a chunk", "9112 8", S + TE + b"\r\n5\r\nabc", "upstream_closed", close=True)
broken(f, "it ends before the last chunk", "9112 8", S + TE + b"\r\n3\r\nabc\r\n", "upstream_closed", close=True)
for name, chunk, fault in (("a bad size", b"zz\r\nabc\r\n", "bad_chunk_size"), ("a bare LF behind a size", b"3\nabc\r\n", "bare_cr_or_lf"),
                           ("a bare LF behind an extension", b"3;a\nabc\r\n", "bare_cr_or_lf"), ("junk behind the data", b"3\r\nabcXX\r\n", "bad_chunk_end"),
                           ("a bare LF behind the data", b"3\r\nabc\n", "bad_chunk_end"), ("2^64 + 3", b"10000000000000003\r\nabc\r\n", "bad_chunk_size"),
                           ("a folded trailer", b"0\r\nA: b\r\n c\r\n\r\n", "folded_field")):
    broken(f, name, "9112 7.1", S + TE + END + chunk, fault=fault)

f = "response heads"
for name, reply, fault in (
        ("no HTTP", b"hello there\r\n\r\n", "bad_status_line"), ("SSH", b"SSH-2.0-OpenSSH\r\n", "bad_status_line"),
        ("HTTP/2.0", b"HTTP/2.0 200 OK\r\n\r\n", "unsupported_version"), ("HTTP/1.2", b"HTTP/1.2 200 OK\r\n\r\n", "unsupported_version"),
        ("ICY", b"ICY 200 OK\r\n\r\n", "bad_status_line"), ("two blanks", b"HTTP/1.1  200 OK\r\n\r\n", "bad_status_line"),
        ("two digits", b"HTTP/1.1 20 OK\r\n\r\n", "bad_status_line"), ("four digits", b"HTTP/1.1 2000 OK\r\n\r\n", "bad_status_line"),
        ("status 099", b"HTTP/1.1 099 OK\r\n\r\n", "bad_status_line"), ("status 600", b"HTTP/1.1 600 OK\r\n\r\n", "bad_status_line"),
        ("a sign", b"HTTP/1.1 +20 OK\r\n\r\n", "bad_status_line"), ("a bare LF behind the status line", b"HTTP/1.1 200 OK\nContent-Length: 2\r\n\r\nok", "bare_cr_or_lf"),
        ("a CR in the reason", b"HTTP/1.1 200 O\rK\r\n\r\n", "bare_cr_or_lf"), ("a NUL in the reason", b"HTTP/1.1 200 O\0K\r\n\r\n", "control_character"),
        ("a CR in a value", S + b"A: b\rc\r\n" + TWO + b"\r\nok", "bare_cr_or_lf"), ("a NUL in a value", S + b"A: \0\r\n" + TWO + b"\r\nok", "control_character"),
        ("a bare LF in a value", S + b"A: b\nSet-Cookie: c\r\n" + TWO + b"\r\nok", "bare_cr_or_lf"), ("an empty name", S + b": b\r\n" + TWO + b"\r\nok", "bad_field_name"),
        ("a blank in a name", S + b"A B: c\r\n" + TWO + b"\r\nok", "space_before_colon"), ("no colon", S + b"junk\r\n" + TWO + b"\r\nok", "bad_field_name"),
        ("LF ends the head", S + TWO + b"\nok", "bare_cr_or_lf"), ("an empty line first", b"\r\n" + GOOD, "bad_status_line"),
        ("a head of 40000 bytes", S + b"A: " + b"b" * 40000 + b"\r\n\r\n", "head_too_large"), ("500 fields", S + b"A: b\r\n" * 500 + b"\r\n", "too_many_fields"),
        ("a status line of 9000 bytes", b"HTTP/1.1 200 " + b"a" * 9000 + b"\r\n\r\n", "request_line_too_long")):
    bad_response(f, name, "9112 4, 5", reply, fault)
arrives(f, "no reason phrase", "9112 4", b"HTTP/1.1 200 \r\n" + TWO + b"\r\nok", GOOD)
arrives(f, "no reason phrase and no blank", "9112 4", b"HTTP/1.1 200\r\n" + TWO + b"\r\nok", GOOD)
arrives(f, "hop-by-hop fields are left out", "9110 7.6.1", S + b"Connection: x-a\r\nX-A: 1\r\nKeep-Alive: timeout=5\r\nX-B: 2\r\n" + TWO + b"\r\nok",
        S + b"X-B: 2\r\n" + TWO + b"\r\nok")
arrives(f, "fsm-stats is the mesh's own", "the mesh's own", S + b"FSM-Stats: a,b,c\r\n" + TWO + b"\r\nok", GOOD)
arrives(f, "forbidden trailer fields are left out", "9110 6.5.1", S + TE + b"\r\n2\r\nok\r\n0\r\nSet-Cookie: a\r\nA: 1\r\nContent-Length: 9\r\n\r\n",
        S + TE + b"\r\n2\r\nok\r\n0\r\nA: 1\r\n\r\n")
arrives(f, "two Set-Cookie", "9110 5.3", S + b"Set-Cookie: a\r\nSet-Cookie: b\r\n" + TWO + b"\r\nok", S + b"Set-Cookie: a\r\nSet-Cookie: b\r\n" + TWO + b"\r\nok")

f = "1xx responses"
SWITCH = b"HTTP/1.1 101 Switching Protocols\r\nConnection: upgrade\r\nUpgrade: %s\r\n\r\n"
bad_response(f, "101 that nobody asked for", "9110 15.2.2", SWITCH % b"websocket", "unasked_101")
bad_response(f, "101 to h2c", "9110 15.2.2", SWITCH % b"h2c" + b"\0\0\0\4\0\0\0\0\0", "unasked_101")
bad_response(f, "101 to h2c where websocket was asked for", "9110 15.2.2", SWITCH % b"h2c", "unasked_101", upgrade=True, ways=("1-1", "1-2-1"))
bad_response(f, "101 without Upgrade", "9110 15.2.2", b"HTTP/1.1 101 S\r\nConnection: upgrade\r\n\r\n", "unasked_101", upgrade=True, ways=("1-1", "1-2-1"))
bad_response(f, "101 without Connection", "9110 15.2.2", b"HTTP/1.1 101 S\r\nUpgrade: websocket\r\n\r\n", "unasked_101", upgrade=True, ways=("1-1", "1-2-1"))
bad_response(f, "101 with a length", "9110 8.6", b"HTTP/1.1 101 S\r\nConnection: upgrade\r\nUpgrade: websocket\r\nContent-Length: 2\r\n\r\nok",
             "content_length_forbidden", upgrade=True, ways=("1-1", "1-2-1"))
bad_response(f, "101 in HTTP/1.0", "9110 15.2.2", (SWITCH % b"websocket").replace(b"HTTP/1.1", b"HTTP/1.0"), "unasked_101", upgrade=True, ways=("1-1", "1-2-1"))
INFO = b"HTTP/1.1 103 Early Hints\r\nLink: </a>\r\n\r\n"
Case("r1", f, "a seventeenth", "9110 15.2 sets no bound", reply=INFO * 17 + GOOD, fault="", reason="upstream_too_many_1xx", ways=R_WAYS)
arrives(f, "sixteen", "9110 15.2", INFO * 16 + GOOD, INFO * 16 + GOOD)
arrives(f, "100 that nobody asked for", "9110 15.2.1", b"HTTP/1.1 100 Continue\r\n\r\n" + GOOD, b"HTTP/1.1 100 Continue\r\n\r\n" + GOOD)


# ---- HTTP/2 requests ----------------------------------------------------------------------------

def request(method=b"GET", path=b"/", authority=b"h", scheme=b"http", extra=(), body=None, trailers=None, stream=1,
            pseudo=None, end=None):
    head = pseudo if pseudo is not None else [(b":method", method), (b":scheme", scheme), (b":path", path), (b":authority", authority)]
    last = body is None and trailers is None if end is None else end
    out = headers(wire.block(list(head) + list(extra)), stream, last)
    if body is not None:
        out += wire.frame(wire.DATA, 0 if trailers is not None else 1, stream, body)
    if trailers is not None:
        out += wire.frame(wire.HEADERS, 5, stream, wire.block(trailers))
    return out


def headers(block, stream, last):
    """HEADERS, and CONTINUATION as far as a frame does not take it"""
    parts = [block[i:i + 16384] for i in range(0, len(block), 16384)]
    out = b""
    for i, p in enumerate(parts):
        flags = (4 if i == len(parts) - 1 else 0) | (1 if last and i == 0 else 0)
        out += wire.frame(wire.CONT if i else wire.HEADERS, flags, stream, p)
    return out


def reset(family, name, rfc, data, reason, rst="PROTOCOL_ERROR", ways=H2_WAYS, **more):
    Case("q2", family, name, rfc, bytes=data, rst=rst, answers=[A(0, reason)], ways=ways, **more)


def passes2(family, name, rfc, data, forwards, answer=OK, ways=H2_WAYS, **more):
    Case("q2", family, name, rfc, bytes=data, forwards=forwards, answers=[answer], ways=ways, **more)


M_ = "malformed_message"
f = "HTTP/2 field names"
for name, field in (("a capital letter", b"X-a"), ("a blank", b"x a"), ("a blank behind", b"xa "), ("a colon inside", b"x:a"), ("CR LF", b"x\r\nevil"),
                    ("LF", b"x\na"), ("CR", b"x\ra"), ("NUL", b"x\0a"), ("empty", b""), ("not ASCII", b"x\xe4"), ("DEL", b"x\x7f"), ("a parenthesis", b"x(a)"),
                    ("a whole field", b"x: y\r\nhost"), ("a slash", b"x/a"), ("a quote", b'x"a'), ("a tab", b"x\ta")):
    reset(f, name, "9113 8.2.1", request(extra=[(field, b"1")]), M_)

f = "HTTP/2 field values"
for name, value in (("CR LF and a field", b"a\r\nx-evil: b"), ("CR LF CR LF and a request", b"a\r\n\r\n" + SMUGGLED), ("LF", b"a\nb"), ("CR", b"a\rb"), ("NUL", b"a\0b"),
                    ("a blank before", b" a"), ("a blank behind", b"a "), ("a tab before", b"\ta"), ("CR LF at the end", b"a\r\n"), ("LF first", b"\na")):
    reset(f, name, "9113 8.2.1", request(extra=[(b"x-a", value)]), M_)
reset(f, "CR LF in a cookie", "9113 8.2.1", request(extra=[(b"cookie", b"a=b\r\nx: y")]), M_)
reset(f, "escape", "9110 5.5", request(extra=[(b"x-a", b"a\x1bb")]), M_)
reset(f, "DEL", "9110 5.5", request(extra=[(b"x-a", b"a\x7f")]), M_)
passes2(f, "bytes above 0x7f", "9110 5.5", request(extra=[(b"x-a", b"\xc3\xa4")]), G + b"x-a: \xc3\xa4\r\n\r\n")
passes2(f, "an empty one", "9110 5.5", request(extra=[(b"x-a", b"")]), G + b"x-a: \r\n\r\n")
passes2(f, "a colon and a semicolon", "9110 5.5", request(extra=[(b"x-a", b"b: c; d")]), G + b"x-a: b: c; d\r\n\r\n")

f = "HTTP/2 pseudo-header fields"
ME, SC, PA, AU = (b":method", b"GET"), (b":scheme", b"http"), (b":path", b"/"), (b":authority", b"h")
for name, pseudo, extra, reason in (
        ("no :method", [SC, PA, AU], [], M_), ("no :scheme", [ME, PA, AU], [], M_), ("no :path", [ME, SC, AU], [], M_),
        ("none", [], [(b"x-a", b"b")], M_), (":method twice", [ME, ME, SC, PA, AU], [], M_), (":path twice", [ME, SC, PA, PA, AU], [], M_),
        (":path twice, different", [ME, SC, PA, (b":path", b"/secret"), AU], [], M_), (":scheme twice", [ME, SC, SC, PA, AU], [], M_),
        (":authority twice", [ME, SC, PA, AU, (b":authority", b"p")], [], M_), (":status in a request", [ME, SC, PA, AU, (b":status", b"200")], [], M_),
        ("an unknown one", [ME, SC, PA, AU, (b":evil", b"x")], [], M_), ("behind a field", [ME, SC, PA], [(b"x-a", b"b"), AU], M_),
        (":path behind a field", [ME, SC, AU], [(b"x-a", b"b"), PA], M_), (":protocol without its setting", [(b":method", b"CONNECT"), SC, PA, AU, (b":protocol", b"websocket")], [], M_),
        (":host", [ME, SC, PA, (b":host", b"h")], [], M_), ("a capital letter", [(b":Method", b"GET"), SC, PA, AU], [], M_), ("no authority and no Host", [ME, SC, PA], [], M_)):
    reset(f, name, "9113 8.3", request(pseudo=pseudo, extra=extra), reason)
for name, value, reason in (("a blank", b"GET /x HTTP/1.1", "bad_method"), ("CR LF", b"GET / HTTP/1.1\r\nHost: p\r\n\r\nGET", M_), ("empty", b"", "bad_method"), ("a colon", b"GET:", "bad_method"),
                            ("not ASCII", b"G\xc4T", M_), ("a tab", b"GET\t", M_)):
    reset(f, ":method with " + name, "9113 8.3.1, 9110 9.1", request(method=value), reason + "|" + M_)
for name, value in (("a blank", b"/ HTTP/1.1"), ("CR LF", b"/ HTTP/1.1\r\nHost: p\r\n\r\nGET /x"), ("empty", b""), ("no slash", b"a"), ("a URI", b"http://h/"), ("* for GET", b"*"), ("a fragment", b"/a#b"),
                    ("NUL", b"/\0"), ("a backslash", b"/a\\b"), ("not ASCII", b"/\xe4"), ("a tab", b"/\tx"), ("LF", b"/\nx"), ("a query only", b"?a")):
    reset(f, ":path with " + name, "9113 8.3.1", request(path=value), "bad_target|" + M_)
for name, value in (("a blank", b"h p"), ("CR LF", b"h\r\nx: y"), ("userinfo", b"u@h"), ("a path", b"h/x"), ("empty", b""), ("a port that is none", b"h:x"), ("a list", b"h,p"), ("NUL", b"h\0"),
                    ("an escape", b"%68"), ("a backslash", b"h\\p"), ("not ASCII", b"h\xe4")):
    reset(f, ":authority with " + name, "9113 8.3.1, 9110 7.2", request(authority=value), "bad_host|" + M_)
for name, value in (("a URI", b"http://evil/x"), ("empty", b""), ("ftp", b"ftp"), ("CR LF", b"http\r\nx: y"), ("a blank", b"ht tp")):
    reset(f, ":scheme with " + name, "9113 8.3.1", request(scheme=value), "bad_scheme|" + M_)

f = ":authority against Host"
reset(f, "different", "9113 8.3.1", request(extra=[(b"host", b"p")]), "host_differs_from_target")
reset(f, "another port", "9113 8.3.1", request(extra=[(b"host", b"h:81")]), "host_differs_from_target")
reset(f, "Host twice", "9112 3.2", request(extra=[(b"host", b"h"), (b"host", b"h")]), "host_twice|" + M_)
reset(f, "a Host that is none", "9110 7.2", request(extra=[(b"host", b"h p")]), "bad_host|" + M_)
passes2(f, "equal", "9113 8.3.1", request(extra=[(b"host", b"h")]), FORWARDED)
passes2(f, "another case", "9113 8.3.1", request(extra=[(b"host", b"H")]), FORWARDED)
passes2(f, "Host alone", "9113 8.3.1", request(pseudo=[ME, SC, PA], extra=[(b"host", b"h")]), FORWARDED)
passes2(f, "unknown is refused by policy", "9110 7.2", request(authority=b"other"), b"", A(403, "host_unknown"))

f = "HTTP/2 connection-specific fields"
for name, value in ((b"connection", b"close"), (b"connection", b"keep-alive"), (b"connection", b"x-a"), (b"keep-alive", b"timeout=5"), (b"proxy-connection", b"close"),
                    (b"transfer-encoding", b"chunked"), (b"transfer-encoding", b"identity"), (b"upgrade", b"websocket"), (b"upgrade", b"h2c"), (b"te", b"gzip"), (b"te", b"trailers, gzip"), (b"te", b"")):
    reset(f, f"{name.decode()}: {value.decode()}", "9113 8.2.2", request(extra=[(name, value)]), M_)
reset(f, "transfer-encoding with chunks as body", "9113 8.2.2", request(method=b"POST", extra=[(b"transfer-encoding", b"chunked")], body=b"0\r\n\r\n" + SMUGGLED), M_)
passes2(f, "te: trailers", "9113 8.2.2", request(extra=[(b"te", b"trailers")]), FORWARDED)
passes2(f, "http2-settings is left out", "7540 3.2.1", request(extra=[(b"http2-settings", b"AAMAAABk")]), FORWARDED)

f = "HTTP/2 content-length"
PB = b"POST / HTTP/1.1\r\n" + HOST
for name, data, reason in (
        ("more than the body", request(method=b"POST", extra=[(b"content-length", b"10")], body=b"abc"), M_),
        ("less than the body", request(method=b"POST", extra=[(b"content-length", b"2")], body=b"abc" + SMUGGLED), M_),
        ("0 and a body", request(method=b"POST", extra=[(b"content-length", b"0")], body=SMUGGLED), M_)):
    reset(f, name, "9113 8.1.1", data, reason, cut=True, forwards=PB + b"Content-Length: 10\r\n\r\nabc" if name[0] == "m" else PB + b"Content-Length: 2\r\n\r\nab", began=True)
for name, extra in (("and no body", [(b"content-length", b"5")]), ("twice, equal", [(b"content-length", b"0")] * 2), ("twice, different", [(b"content-length", b"0"), (b"content-length", b"5")]),
                    ("a list", [(b"content-length", b"0, 0")]), ("a plus", [(b"content-length", b"+0")]), ("a minus", [(b"content-length", b"-1")]), ("empty", [(b"content-length", b"")]),
                    ("hexadecimal", [(b"content-length", b"0x0")]), ("2^64", [(b"content-length", b"18446744073709551616")])):
    reset(f, name, "9113 8.1.1, 9110 8.6", request(method=b"POST", extra=extra), M_)
passes2(f, "as long as the body", "9113 8.1.1", request(method=b"POST", extra=[(b"content-length", b"%d" % len(SMUGGLED))], body=SMUGGLED),
        PB + b"Content-Length: %d\r\n\r\n" % len(SMUGGLED) + SMUGGLED)
passes2(f, "none, and a body that is a request", "9113 8.1.1", request(method=b"POST", body=SMUGGLED), PB + TE + END + b"%x\r\n" % len(SMUGGLED) + SMUGGLED + b"\r\n0\r\n\r\n", ways=("2-1",))
passes2(f, "none, and chunks as body", "9113 8.1.1", request(method=b"POST", body=b"0\r\n\r\n"), PB + TE + END + b"5\r\n0\r\n\r\n\r\n0\r\n\r\n", ways=("2-1",))
reset(f, "a body of TRACE", "9110 9.3.8", request(method=b"TRACE", body=b"abc"), "content_forbidden")

f = "HTTP/2 trailers"
for name, fields, reason in (("a pseudo-header field", [(b":path", b"/x")], M_), ("a capital letter", [(b"X-A", b"b")], M_), ("CR LF in a value", [(b"x-a", b"b\r\nc")], M_), ("connection", [(b"connection", b"close")], M_),
                             ("transfer-encoding", [(b"transfer-encoding", b"chunked")], M_)):
    reset(f, name, "9113 8.1", request(method=b"POST", body=b"abc", trailers=fields), reason, cut=True, forwards=PB + TE + END + b"3\r\nabc\r\n", began=True)
reset(f, "that do not end the stream", "9113 8.1", request(method=b"POST", body=b"abc", trailers=[]) [:-9] + wire.frame(wire.HEADERS, 4, 1, wire.block([(b"x-a", b"b")])), M_, cut=True,
      forwards=PB + TE + END + b"3\r\nabc\r\n", began=True)
reset(f, "a content-length that is none of the body's", "9113 8.1.1", request(method=b"POST", body=b"abc", trailers=[(b"content-length", b"5")]), M_, cut=True,
      forwards=PB + TE + END + b"3\r\nabc\r\n", began=True)
for name in (b"host", b"set-cookie", b"authorization", b"cache-control", b"serviceidentity", b"trailer"):
    passes2(f, f"{name.decode()} is left out", "9110 6.5.1", request(method=b"POST", body=b"abc", trailers=[(b"a", b"1"), (name, b"5"), (b"b", b"2")]),
            PB + TE + END + b"3\r\nabc\r\n0\r\na: 1\r\nb: 2\r\n\r\n")

f = "HTTP/2 to policy"
for name, path, want in PATHS:
    if b"\\" in path:
        continue
    if isinstance(want, A):
        passes2(f, name, "3986 6.2.2", request(authority=b"p", path=path), b"", want)
    else:
        passes2(f, name, "3986 6.2.2", request(authority=b"p", path=path), b"GET " + want + b" HTTP/1.1\r\nHost: p\r\n\r\n")
passes2(f, "a method that is not allowed", "9110 9.1", request(authority=b"m", method=b"PUT"), b"", A(403, "route_not_found"))
for field in (b"serviceidentity", b"fsm-protocol", ):
    passes2(f, f"{field.decode()} is not the client's to give", "the mesh's own", request(extra=[(field, b"admin")]), FORWARDED)
reset(f, "CONNECT with a path", "9113 8.5", request(method=b"CONNECT"), M_ + "|bad_target")
reset(f, "CONNECT without a port", "9113 8.5", request(pseudo=[(b":method", b"CONNECT"), AU]), "bad_target")
reset(f, "CONNECT without an authority", "9113 8.5", request(pseudo=[(b":method", b"CONNECT")]), M_ + "|bad_target")
for name, last in (("and bytes behind it", 1), ("and bytes behind it, without an end", 0)):
    passes2(f, "a CONNECT that is refused, " + name, "9110 9.3.6, 9113 8.5",
            request(pseudo=[(b":method", b"CONNECT"), (b":authority", b"h:80")], end=False) + wire.frame(wire.DATA, last, 1, SMUGGLED),
            CONNECT, A(405), ways=("2-1",), methods=[b"CONNECT"])
passes2(f, "101 fields", "6585 5", request(extra=[(b"a", b"b")] * 101), b"", A(431, "head_too_large"))
passes2(f, "a field of 40000 bytes", "6585 5", request(extra=[(b"a", b"b" * 40000)]), b"", A(431, "head_too_large"))
passes2(f, "cookies are joined", "9113 8.2.3", request(extra=[(b"cookie", b"a=1"), (b"cookie", b"b=2")]), G + b"cookie: a=1; b=2\r\n\r\n", ways=("2-1",))

f = "HTTP/2 frames"
for name, data, code in (
        ("DATA on an idle stream", wire.frame(wire.DATA, 1, 1, b"abc"), "PROTOCOL_ERROR"), ("HEADERS on stream 0", wire.frame(wire.HEADERS, 5, 0, wire.block([ME, SC, PA, AU])), "PROTOCOL_ERROR"),
        ("an even stream", wire.frame(wire.HEADERS, 5, 2, wire.block([ME, SC, PA, AU])), "PROTOCOL_ERROR"), ("CONTINUATION alone", wire.frame(wire.CONT, 4, 1, b""), "PROTOCOL_ERROR"),
        ("another frame between HEADERS and CONTINUATION", wire.frame(wire.HEADERS, 1, 1, wire.block([ME, SC])) + wire.frame(wire.PING, 0, 0, b"x" * 8), "PROTOCOL_ERROR"),
        ("a frame that is too large", wire.frame(wire.DATA, 0, 1, b"x" * 16385), "FRAME_SIZE_ERROR"), ("PUSH_PROMISE from a client", wire.frame(wire.PUSH, 4, 1, b"\0\0\0\2"), "PROTOCOL_ERROR"),
        ("an index beyond the table", wire.frame(wire.HEADERS, 5, 1, b"\xff\xff\xff\x0f"), "COMPRESSION_ERROR"), ("padding as long as the frame", wire.frame(wire.HEADERS, 0xd, 1, b"\xff\x82"), "PROTOCOL_ERROR"),
        ("SETTINGS of five bytes", wire.frame(wire.SETTINGS, 0, 0, b"x" * 5), "FRAME_SIZE_ERROR"), ("a window of 2^31", wire.frame(wire.SETTINGS, 0, 0, b"\0\4\x80\0\0\0"), "FLOW_CONTROL_ERROR"),
        ("WINDOW_UPDATE of 0", wire.frame(wire.WINDOW, 0, 0, b"\0\0\0\0"), "PROTOCOL_ERROR"), ("RST_STREAM of an idle stream", wire.frame(wire.RST, 0, 1, b"\0\0\0\0"), "PROTOCOL_ERROR")):
    Case("q2", f, name, "9113 4, 5, 6", bytes=data, goaway=code, logs=[], ways=H2_WAYS)


# ---- HTTP/2 responses ---------------------------------------------------------------------------

R2_WAYS = ("1-2", "2-2")


def reply2(fields, body=None, trailers=None, before=b"", end=None):
    def made(stream):
        last = body is None and trailers is None if end is None else end
        out = before(stream) if callable(before) else before
        out += wire.frame(wire.HEADERS, 5 if last else 4, stream, wire.block(fields))
        if body is not None:
            out += wire.frame(wire.DATA, 0 if trailers is not None else 1, stream, body)
        if trailers is not None:
            out += wire.frame(wire.HEADERS, 5, stream, wire.block(trailers))
        return out
    return made


def bad2(family, name, rfc, reply, fault=M_, reason="upstream_protocol_error", **more):
    Case("r2", family, name, rfc, reply=reply, fault=fault, reason=reason, ways=R2_WAYS, **more)


def arrives2(family, name, rfc, reply, client, **more):
    Case("r2", family, name, rfc, reply=reply, arrives=client, ways=R2_WAYS, **more)


ST = (b":status", b"200")
f = "HTTP/2 responses"
for name, fields in (
        ("no :status", [(b"x-a", b"b")]), (":status twice", [ST, ST]), (":status of two digits", [(b":status", b"20")]), (":status of four digits", [(b":status", b"2000")]),
        (":status with a blank", [(b":status", b"200 ")]), (":status with CR LF", [(b":status", b"200\r\nx: y")]), (":status behind a field", [(b"x-a", b"b"), ST]),
        (":path in a response", [ST, (b":path", b"/")]), ("an unknown pseudo-header field", [ST, (b":evil", b"x")]), ("a capital letter in a name", [ST, (b"X-A", b"b")]),
        ("CR LF in a name", [ST, (b"x\r\nset-cookie", b"b")]), ("CR LF in a value", [ST, (b"x-a", b"b\r\nset-cookie: c")]), ("NUL in a value", [ST, (b"x-a", b"\0")]),
        ("LF in a value", [ST, (b"x-a", b"b\nc")]), ("a colon in a name", [ST, (b"x:a", b"b")]), ("a blank in a name", [ST, (b"x a", b"b")]), ("an empty name", [ST, (b"", b"b")]),
        ("connection", [ST, (b"connection", b"close")]), ("transfer-encoding", [ST, (b"transfer-encoding", b"chunked")]), ("upgrade", [ST, (b"upgrade", b"h2c")]), ("keep-alive", [ST, (b"keep-alive", b"5")]),
        ("two lengths", [ST, (b"content-length", b"0"), (b"content-length", b"0")]), ("a list of lengths", [ST, (b"content-length", b"0, 0")]), ("a length that is none", [ST, (b"content-length", b"x")]),
        ("a negative length", [ST, (b"content-length", b"-1")]), ("a length and no body", [ST, (b"content-length", b"5")])):
    bad2(f, name, "9113 8.2, 8.3.2", reply2(fields))
bad2(f, "status 101", "9113 8.6", reply2([(b":status", b"101")]), M_)
bad2(f, "status 600", "9110 15", reply2([(b":status", b"600")]), "bad_pseudo_field")
bad2(f, "status 099", "9110 15", reply2([(b":status", b"099")]), "bad_pseudo_field")
bad2(f, "1xx that ends the stream", "9113 8.1", reply2([(b":status", b"103")]), M_)
bad2(f, "DATA before HEADERS", "9113 8.1", lambda i: wire.frame(wire.DATA, 1, i, b"abc"), None, "upstream_protocol_error|upstream_closed")
info2 = lambda i: wire.frame(wire.HEADERS, 4, i, wire.block([(b":status", b"103"), (b"link", b"</a>")])) * 17
bad2(f, "a seventeenth 1xx", "9110 15.2 sets no bound", reply2([ST], b"ok", before=info2), "too_many_1xx", "upstream_too_many_1xx")
for name, fields, body in (("a body longer than its length", [ST, (b"content-length", b"2")], b"ok" + GOOD), ("a body shorter than its length", [ST, (b"content-length", b"10")], b"ok")):
    Case("r2", f, name, "9113 8.1.1", reply=reply2(fields, body), cut=True, reason="upstream_protocol_error", fault=M_, ways=R2_WAYS)
for name, fields in (("a pseudo-header field in trailers", [(b":status", b"200")]), ("a capital letter in trailers", [(b"X-A", b"b")]), ("CR LF in trailers", [(b"x-a", b"b\r\nc")])):
    Case("r2", f, name, "9113 8.1", reply=reply2([ST], b"ok", fields), cut=True, reason="upstream_protocol_error", fault=M_, ways=R2_WAYS)
arrives2(f, "forbidden trailer fields are left out", "9110 6.5.1", reply2([ST], b"ok", [(b"set-cookie", b"a"), (b"a", b"1"), (b"vary", b"*")]), S + TE + b"\r\n2\r\nok\r\n0\r\na: 1\r\n\r\n")
arrives2(f, "a body that is a response", "9113 8.1", reply2([ST, (b"content-length", b"%d" % len(GOOD))], GOOD), S + b"Content-Length: %d\r\n\r\n" % len(GOOD) + GOOD)
arrives2(f, "HEAD with a length", "9110 9.3.2", reply2([ST, (b"content-length", b"5")]), S + b"Content-Length: 5\r\n\r\n", asks=b"HEAD")
arrives2(f, "204", "9110 15.3.5", reply2([(b":status", b"204")]), b"HTTP/1.1 204 No Content\r\n\r\n")
