"""What a run prints: a table for each case, and the goals at the end."""
from bench import goals, results, setup

SHOWN = ["cpu_us_per_request", "cpu_us_per_mb", "rps", "p50_us", "p99_us", "ms", "rss_kb", "anon_kb", "bytes_per_conn",
         "bytes", "syscalls_per_request", "instructions_per_request"]


def number(x):
    if abs(x) >= 1000:
        return f"{x:.0f}"
    return f"{x:.1f}" if abs(x) >= 100 else f"{x:.2f}"


def cell(row):
    return f"{number(row['median'])} ({number(row['min'])}-{number(row['max'])})"


def metrics_of(rows):
    have = {r["metric"] for r in rows}
    return [m for m in SHOWN if m in have] + sorted(have - set(SHOWN))


def case_table(outcome, rows, options):
    case = outcome.case
    print(f"\n{case.name}: {case.title}")
    for why, names in by_reason(outcome.left_out).items():
        print(f"  left out: {', '.join(names)}: {why}")
    best, peer = goals.best_peer(rows, case.name, case.main)
    for who in dict.fromkeys(r["proxy"] for r in rows):
        mine = {r["metric"]: r for r in rows if r["proxy"] == who}
        words = [f"{m.replace('_per_request', '/req')} {cell(mine[m]) if m == case.main else number(mine[m]['median'])}"
                 for m in metrics_of(mine.values())]
        any_row = next(iter(mine.values()))
        ratio = f"{mine[case.main]['median'] / best:5.2f} x {peer}" if best and case.main in mine else ""
        noisy = "  NOISY" if outcome.is_noisy(who.split(":")[0]) else ""
        print(f"  {who:12} {ratio:16} {'  '.join(words)}  [rounds {any_row['rounds']}, dropped {any_row['dropped']}, "
              f"others' cores {any_row['noise']:.2f}]{noisy}")
    for who, why in outcome.failed.items():
        print(f"  {who}: {len(why)} rounds failed: {why[0]}")
    for who, calls in getattr(outcome, "calls", {}).items():
        print(f"  {who}: " + "  ".join(f"{name} {n:.2f}" for name, n in sorted(calls.items(), key=lambda x: -x[1])
                                      if n >= 0.01))
    if any(outcome.is_noisy(p) for p in case.names):
        print(f"  NOISY: no round with others below {options.noise} cores; the quietest are shown")


def by_reason(left_out):
    out = {}
    for who, why in left_out.items():
        out.setdefault(why, []).append(who)
    return out


def disturbed(rows, g):
    """A figure of no peer's from a machine on which others worked says little without a peer's beside it."""
    noise = goals.noise(rows, g.case, g.proxy, g.metric)
    best, peer = goals.best_peer(rows, g.case, g.metric)
    if g.against or noise <= setup.Options.noise:
        return ""
    beside = f", {peer} {number(best)}" if peer else ""
    return f"  NOISY: others' cores {noise:.2f}{beside}"


def goal_table(rows):
    found = goals.verdicts(rows)
    if not found:
        return
    print("\ngoals")
    for v in found:
        g = v.goal
        state = "aim met" if v.aim_met else "met" if v.met else "MISSED"
        is_ratio = bool(g.against)
        got = f"{v.ratio:.2f} x {v.peer}" if is_ratio else f"{number(v.value)} {results.UNITS.get(g.metric, '')}"
        aim = f"{g.aim:g}" + (f" x {g.aim_against}" if g.aim_against else "")
        print(f"  {state:8} {g.case:16} {g.proxy:12} {g.metric:20} {got:20} goal {g.words():16} aim {aim}"
              f"{disturbed(rows, g)}")
