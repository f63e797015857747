"""What fsm is to reach, and whether it does: either times a peer's figure of the same run, or a figure of its own."""
import dataclasses

from bench import proxies

BEST = "best"


@dataclasses.dataclass(frozen=True)
class Goal:
    case: str
    proxy: str
    metric: str
    limit: float
    aim: float
    against: str = BEST      # a peer, the best one, or "" for an absolute limit
    aim_against: str = ""    # if it is another peer than for the limit

    def words(self, number=None):
        n = f"{self.limit if number is None else number:g}"
        return f"<= {n}" + (f" x {self.against}" if self.against else "")


CPU = "cpu_us_per_request"
GOALS = [
    Goal("http1-1k", "fsm", CPU, 1.0, 0.8),
    Goal("http1-64k", "fsm", CPU, 1.0, 0.8),
    Goal("h2-1k", "fsm", CPU, 1.0, 0.85),
    Goal("grpc", "fsm", CPU, 1.0, 0.85),
    Goal("tcp", "fsm", CPU, 1.0, 0.95),
    Goal("tcp-64k", "fsm", CPU, 1.0, 0.6),
    Goal("tls-1k", "fsm-openssl", CPU, 1.0, 0.83),
    Goal("tls-handshake", "fsm-openssl", CPU, 1.0, 1.0, "nginx", "envoy"),
    Goal("tls-resume", "fsm-openssl", CPU, 1.0, 1.0, "nginx", "envoy"),
    Goal("tls-resume", "fsm", CPU, 1.5, 1.5, "nginx"),
    Goal("mtls-pair", "fsm-openssl", CPU, 0.85, 0.7, "haproxy"),
    Goal("mtls-pair", "fsm", CPU, 1.0, 1.0, "haproxy"),
    Goal("latency-1000rps", "fsm-openssl", "p50_us", 40, 30, ""),
    Goal("latency-1000rps", "fsm-openssl", "p99_us", 40, 30, ""),
    Goal("latency-1000rps", "fsm", "p50_us", 40, 30, ""),
    Goal("latency-1000rps", "fsm", "p99_us", 40, 30, ""),
    Goal("idle", "fsm", "rss_kb", 6 * 1024, 4 * 1024, ""),
    Goal("idle", "fsm", "anon_kb", 1.5 * 1024, 1.5 * 1024, ""),
    Goal("idle", "fsm", "ms", 20, 20, ""),
    Goal("idle-conns", "fsm", "bytes_per_conn", 500, 500, ""),
    Goal("services-5000", "fsm", "rss_kb", 40 * 1024, 20 * 1024, ""),
    Goal("change-5000", "fsm", "ms", 20, 5, ""),
]


@dataclasses.dataclass
class Verdict:
    goal: Goal
    value: float
    reference: float  # the peer's figure, or 1
    peer: str
    met: bool
    aim_met: bool

    @property
    def ratio(self):
        return self.value / self.reference if self.reference else 0.0


def row(rows, case, proxy, metric):
    return next((r for r in rows if (r["case"], r["proxy"], r["metric"]) == (case, proxy, metric)), None)


def figure(rows, case, proxy, metric):
    r = row(rows, case, proxy, metric)
    return r["median"] if r else None


def noise(rows, case, proxy, metric):
    r = row(rows, case, proxy, metric)
    return r["noise"] if r else 0.0


def best_peer(rows, case, metric):
    """-> figure, proxy; None, "" without peers.  A part of a proxy ("envoy:part") is none."""
    found = [(r["median"], r["proxy"]) for r in rows if r["case"] == case and r["metric"] == metric
             and r["proxy"] in proxies.ALL and r["proxy"] not in proxies.OURS]
    if not found:
        return None, ""
    return (max if metric == "rps" else min)(found)


def reference(rows, goal, against):
    if not against:
        return 1.0, ""
    if against == BEST:
        return best_peer(rows, goal.case, goal.metric)
    return figure(rows, goal.case, against, goal.metric), against


def verdicts(rows):
    out = []
    for g in GOALS:
        value = figure(rows, g.case, g.proxy, g.metric)
        ref, peer = reference(rows, g, g.against)
        if value is None or ref is None:
            continue
        aim_ref, _ = reference(rows, g, g.aim_against or g.against)
        out.append(Verdict(g, value, ref, peer, value <= g.limit * ref,
                           aim_ref is not None and value <= g.aim * aim_ref))
    return out
