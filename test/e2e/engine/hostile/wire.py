"""Bytes of HTTP/1 and HTTP/2 for hostile/run.py: written without any care for the rules, read with
all of it, by code that shares nothing with fsm's (header blocks: libnghttp2's decoder)."""
import ctypes
import socket
import ssl
import struct

# ---- HTTP/1 -------------------------------------------------------------------------------------


class Broken(Exception):
    pass


class H1Reader:
    """what a server or a client reads from `recv`, strictly; every byte is kept in `raw`"""

    def __init__(self, recv):
        self.recv, self.raw, self.buf = recv, b"", b""
        self.eof = False

    def more(self):
        d = self.recv()
        if not d:
            self.eof = True
            raise EOFError
        self.raw += d
        self.buf += d

    def line(self):
        while b"\r\n" not in self.buf:
            self.more()
        line, self.buf = self.buf.split(b"\r\n", 1)
        if b"\r" in line or b"\n" in line or b"\0" in line:
            raise Broken(f"a line with {line!r}")
        return line

    def fields(self):
        out = []
        while True:
            line = self.line()
            if not line:
                return out
            name, colon, value = line.partition(b":")
            if not colon or not name or name != name.strip() or b" " in name:
                raise Broken(f"a field line {line!r}")
            out.append((name, value.strip(b" \t")))

    def exactly(self, n):
        while len(self.buf) < n:
            self.more()
        d, self.buf = self.buf[:n], self.buf[n:]
        return d

    def chunks(self):
        body = b""
        while True:
            size = int(self.line(), 16)
            if not size:
                return body, self.fields()
            body += self.exactly(size)
            if self.exactly(2) != b"\r\n":
                raise Broken("no line end behind a chunk")

    def body(self, fields, none, until_close):
        """(body, trailers)"""
        got = {n.lower(): v for n, v in fields}
        if none:
            return b"", []
        if b"transfer-encoding" in got:
            if got[b"transfer-encoding"] != b"chunked" or b"content-length" in got:
                raise Broken(f"framing {fields!r}")
            return self.chunks()
        if b"content-length" in got:
            return self.exactly(int(got[b"content-length"])), []
        if not until_close:
            return b"", []
        try:
            while True:
                self.more()
        except EOFError:
            d, self.buf = self.buf, b""
            return d, []

    def request(self):
        """(method, target, fields, body, trailers)"""
        first = self.line().split(b" ")
        if len(first) != 3 or first[2] not in (b"HTTP/1.1", b"HTTP/1.0"):
            raise Broken(f"a request line {first!r}")
        fields = self.fields()
        body, trailers = self.body(fields, first[0] == b"CONNECT", False)
        return first[0], first[1], fields, body, trailers

    def response(self, method=b"GET"):
        """(status, fields, body, trailers), the final one; 1xx are counted in self.infos"""
        self.infos = 0
        while True:
            first = self.line().split(b" ", 2)
            if first[0] != b"HTTP/1.1" or len(first) != 3:
                raise Broken(f"a status line {first!r}")
            status = int(first[1])
            fields = self.fields()
            if status >= 200 or status == 101:
                break
            self.infos += 1
        none = method == b"HEAD" or status in (101, 204, 304)
        body, trailers = self.body(fields, none, True)
        return status, fields, body, trailers


# ---- HPACK --------------------------------------------------------------------------------------

ng = ctypes.CDLL("libnghttp2.so.14")


class NV(ctypes.Structure):
    _fields_ = [("name", ctypes.POINTER(ctypes.c_char)), ("value", ctypes.POINTER(ctypes.c_char)),
                ("n", ctypes.c_size_t), ("v", ctypes.c_size_t), ("flags", ctypes.c_uint8)]


ng.nghttp2_hd_inflate_hd2.restype = ctypes.c_ssize_t
ng.nghttp2_hd_inflate_hd2.argtypes = [ctypes.c_void_p, ctypes.POINTER(NV),
                                      ctypes.POINTER(ctypes.c_int), ctypes.c_char_p,
                                      ctypes.c_size_t, ctypes.c_int]
ng.nghttp2_hd_inflate_end_headers.argtypes = [ctypes.c_void_p]


class Inflater:
    def __init__(self):
        self.h = ctypes.c_void_p()
        ng.nghttp2_hd_inflate_new(ctypes.byref(self.h))

    def block(self, data):
        out = []
        while True:
            nv, flags = NV(), ctypes.c_int(0)
            n = ng.nghttp2_hd_inflate_hd2(self.h, ctypes.byref(nv), ctypes.byref(flags), data,
                                          len(data), 1)
            if n < 0:
                raise Broken("a header block that cannot be decoded")
            data = data[n:]
            if flags.value & 2:
                out.append((nv.name[:nv.n], nv.value[:nv.v]))
            if flags.value & 1:
                ng.nghttp2_hd_inflate_end_headers(self.h)
                return out
            if not data and not flags.value & 2:
                return out


def integer(n, bits, first):
    if n < (1 << bits) - 1:
        return bytes([first | n])
    out, n = [first | ((1 << bits) - 1)], n - ((1 << bits) - 1)
    while n >= 128:
        out.append(n & 127 | 128)
        n >>= 7
    return bytes(out + [n])


def text(s):
    return integer(len(s), 7, 0) + s


def block(fields):
    """literal fields, without Huffman, whatever bytes they have"""
    return b"".join(b"\0" + text(n) + text(v) for n, v in fields)


# ---- HTTP/2 -------------------------------------------------------------------------------------

PREFACE = b"PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n"
DATA, HEADERS, PRIORITY, RST, SETTINGS, PUSH, PING, GOAWAY, WINDOW, CONT = range(10)
CODES = ("NO_ERROR PROTOCOL_ERROR INTERNAL_ERROR FLOW_CONTROL_ERROR SETTINGS_TIMEOUT STREAM_CLOSED "
         "FRAME_SIZE_ERROR REFUSED_STREAM CANCEL COMPRESSION_ERROR CONNECT_ERROR ENHANCE_YOUR_CALM "
         "INADEQUATE_SECURITY HTTP_1_1_REQUIRED").split()


def frame(kind, flags, stream, payload=b""):
    return struct.pack(">I", len(payload))[1:] + struct.pack(">BBI", kind, flags, stream) + payload


class H2Stream:
    def __init__(self):
        self.heads, self.data, self.trailers, self.ended, self.rst = [], b"", None, False, None

    def final(self):
        """the index of the head that is no 1xx"""
        for i, h in enumerate(self.heads):
            if not dict(h).get(b":status", b"200").startswith(b"1"):
                return i
        return -1


class H2Reader:
    """frames from `recv` to streams; acknowledges what must be"""

    def __init__(self, recv, send, server):
        self.recv, self.send = recv, send
        self.buf, self.server, self.hd = b"", server, Inflater()
        self.streams, self.goaway, self.frames = {}, None, 0
        self.begun = not server
        self.pending = None

    def stream(self, i):
        return self.streams.setdefault(i, H2Stream())

    def more(self):
        """one read; False at the end"""
        d = self.recv()
        if not d:
            return False
        self.buf += d
        if not self.begun and len(self.buf) >= len(PREFACE):
            if not self.buf.startswith(PREFACE):
                raise Broken(f"no preface but {self.buf[:40]!r}")
            self.buf, self.begun = self.buf[len(PREFACE):], True
        while self.begun and len(self.buf) >= 9:
            n = int.from_bytes(self.buf[:3], "big")
            if len(self.buf) < 9 + n:
                break
            kind, flags, stream = struct.unpack(">BBI", self.buf[3:9])
            payload, self.buf = self.buf[9:9 + n], self.buf[9 + n:]
            self.frame(kind, flags, stream & 0x7fffffff, payload)
        return True

    def frame(self, kind, flags, i, p):
        self.frames += 1
        if kind == SETTINGS and not flags & 1:
            self.send(frame(SETTINGS, 1, 0))
        elif kind == PING and not flags & 1:
            self.send(frame(PING, 1, 0, p))
        elif kind == GOAWAY:
            self.goaway = CODES[struct.unpack(">II", p[:8])[1]]
        elif kind == RST:
            self.stream(i).rst = CODES[struct.unpack(">I", p)[0]]
        elif kind == DATA:
            if flags & 8:
                p = p[1:len(p) - p[0]]
            self.stream(i).data += p
            self.stream(i).ended |= bool(flags & 1)
        elif kind == HEADERS:
            if flags & 8:
                p = p[1:len(p) - p[0]]
            if flags & 0x20:
                p = p[5:]
            self.pending = (flags, i, p)
        elif kind == CONT:
            f, i, q = self.pending
            self.pending = (f | flags & 4, i, q + p)
        if kind in (HEADERS, CONT) and self.pending[0] & 4:
            self.head(*self.pending)

    def head(self, flags, i, p):
        st, fields = self.stream(i), self.hd.block(p)
        if st.final() >= 0:
            st.trailers = fields
        else:
            st.heads.append(fields)
        st.ended |= bool(flags & 1)


def connect(port, tls=None, alpn=None, seconds=10):
    s = socket.create_connection(("127.0.0.1", port), seconds)
    s.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
    if tls:
        ctx = ssl.SSLContext(ssl.PROTOCOL_TLS_CLIENT)
        ctx.check_hostname, ctx.verify_mode = False, ssl.CERT_NONE
        ctx.load_cert_chain(tls + ".crt", tls + ".key")
        ctx.set_alpn_protocols([alpn])
        s = ctx.wrap_socket(s)
    return s


def receiver(s):
    def recv():
        try:
            return s.recv(65536)
        except (ConnectionError, ssl.SSLError, BrokenPipeError):
            return b""
    return recv


def sender(s):
    def send(b):
        try:
            s.sendall(b)
        except (OSError, ssl.SSLError):
            pass
    return send
