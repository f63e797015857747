"""What all cases share: directories, ports, binaries, options, and what a proxy is asked to be."""
import dataclasses
import os
import pathlib

ROOT = pathlib.Path(__file__).resolve().parents[2]
OUT = ROOT / "build/bench"
BIN = pathlib.Path(os.environ.get("FSM_BIN", ROOT / "build/mbedtls/bin"))
OPENSSL_BIN = ROOT / "build/openssl/bin"

UPSTREAM = 18080
FRONT = 18081  # what the load generator talks to
BACK = 18082   # between the two halves of a pair
HOST = "bench"


@dataclasses.dataclass(frozen=True)
class Role:
    """One proxy: what it speaks on either side."""
    name: str = "client"     # or "server": whose certificate it has
    listen: int = FRONT
    upstream: int = UPSTREAM
    front: str = "http1"     # http1, http2 (prior knowledge), tcp
    back: str = "http1"      # http1, http2, tcp
    front_tls: str = ""      # "", "server" (any client), "mutual"
    back_tls: str = ""       # "", "mutual"
    grpc: bool = False


def pair(between):
    """The two roles of a request's way between pods, the server's first."""
    return [Role(name="server", listen=BACK, front=between, front_tls="mutual"),
            Role(name="client", upstream=BACK, back=between, back_tls="mutual")]


class NotOffered(Exception):
    """This proxy does not do that; says why."""


@dataclasses.dataclass
class Options:
    tmp: pathlib.Path
    rounds: int = 5
    seconds: float = 3.0     # of measuring in one round
    budget: float = 115.0    # seconds for one case
    noise: float = 0.25      # cores kept busy by others; a round with more does not count
    proxies: tuple = ()
