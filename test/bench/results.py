"""results.json: a list of {case, proxy, metric, unit, min, median, max, rounds, dropped, noise}.
A run replaces what it measured and keeps the rest; runs.json says when and where each case was measured."""
import datetime
import json
import os
import platform
import statistics
import subprocess

from bench import setup

UNITS = {"cpu_us_per_request": "us", "cpu_us_per_mb": "us", "rps": "1/s", "p50_us": "us", "p99_us": "us",
         "rss_kb": "kB", "anon_kb": "kB", "bytes_per_conn": "B", "ms": "ms", "bytes": "B",
         "syscalls_per_request": "", "instructions_per_request": ""}
RESULTS = setup.OUT / "results.json"
RUNS = setup.OUT / "runs.json"


def named(proxy, key, value):
    """What a program printed: "part.metric" belongs to a part of the proxy, [number, "unit"] has its own unit."""
    part, _, metric = key.rpartition(".")
    number, unit = value if isinstance(value, list) else (value, UNITS.get(metric, ""))
    return f"{proxy}:{part}" if part else proxy, metric, number, unit


def rows(outcome, options):
    out = []
    for proxy in outcome.case.names:
        samples = outcome.samples(proxy, options.rounds)
        for key in samples[0].figures if samples else ():
            values = []
            for s in samples:
                who, metric, number, unit = named(proxy, key, s.figures[key])
                values.append(number)
            out.append({"case": outcome.case.name, "proxy": who, "metric": metric, "unit": unit,
                        "min": round(min(values), 3), "median": round(statistics.median(values), 3),
                        "max": round(max(values), 3), "rounds": len(samples),
                        "dropped": outcome.dropped(proxy, options.rounds),
                        "noise": round(statistics.median(s.noise for s in samples), 2)})
    return out


def load(path, default):
    try:
        return json.loads(path.read_text())
    except (OSError, ValueError):
        return default


def commit():
    r = subprocess.run(["git", "describe", "--always", "--dirty"], cwd=setup.ROOT, capture_output=True, text=True,
                       check=False)
    return r.stdout.strip() or "unknown"


def cpu_model():
    try:
        for line in open("/proc/cpuinfo"):
            if line.startswith("model name"):
                return line.split(":", 1)[1].strip()
    except OSError:
        pass
    return platform.machine()


def keep(case_name, new, outcome):
    """Puts a case's rows in the place of the old ones."""
    setup.OUT.mkdir(parents=True, exist_ok=True)
    measured = {(r["proxy"], r["metric"]) for r in new}
    old = [r for r in load(RESULTS, []) if r["case"] != case_name or (r["proxy"], r["metric"]) not in measured
           and r["metric"].endswith("s_per_request") and r["metric"] != "cpu_us_per_request"]
    RESULTS.write_text(json.dumps(old + new, indent=1) + "\n")
    runs = load(RUNS, {})
    runs[case_name] = {"when": datetime.datetime.now(datetime.timezone.utc).strftime("%Y-%m-%d %H:%M UTC"),
                       "commit": commit(), "cpu": cpu_model(), "cores": os.cpu_count(), "kernel": platform.release(),
                       "title": outcome.case.title, "main": outcome.case.main, "seconds": round(outcome.seconds),
                       "left_out": outcome.left_out}
    RUNS.write_text(json.dumps(runs, indent=1) + "\n")
