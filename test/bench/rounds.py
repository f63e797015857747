"""Runs a case: rounds of all its proxies in turn, so that what the machine does hits all of them alike."""
import dataclasses
import sys
import time

from bench import measure, proxies, setup

TRIES = 3  # of one round that is noisy


@dataclasses.dataclass
class Sample:
    figures: dict
    noise: float


class Outcome:
    """What came of one case: samples by proxy, what was dropped, what was left out and why."""

    def __init__(self, case):
        self.case = case
        self.clean = {}
        self.noisy = {}
        self.failed = {}
        self.left_out = {}
        self.seconds = 0.0

    def samples(self, proxy, rounds):
        """Those that count: the clean ones; where others never let go of the machine, the quietest."""
        if self.clean.get(proxy):
            return self.clean[proxy]
        return sorted(self.noisy.get(proxy, []), key=lambda s: s.noise)[:rounds]

    def is_noisy(self, proxy):
        return not self.clean.get(proxy) and bool(self.noisy.get(proxy))

    def dropped(self, proxy, rounds):
        taken = len(self.samples(proxy, rounds)) if self.is_noisy(proxy) else 0
        return len(self.noisy.get(proxy, [])) - taken + len(self.failed.get(proxy, []))


def choose(case, options, outcome):
    """The proxies that can take part."""
    chosen = []
    for name in case.names:
        if options.proxies and name not in options.proxies:
            continue
        why = proxies.ALL[name].missing()
        if not why:
            try:
                case.commands(options, name)
            except setup.NotOffered as e:
                why = str(e)
        if why:
            outcome.left_out[name] = why
        else:
            chosen.append(name)
    return chosen


def once(case, options, name, outcome, deadline):
    """One round of one proxy, tried again while it is noisy and there is time; on a machine that was
    never quiet yet, once."""
    for _ in range(TRIES if outcome.clean or not outcome.noisy.get(name) else 1):
        try:
            figures, noise = case.round(options, name)
        except setup.NotOffered as e:
            outcome.left_out[name] = str(e)
            return
        except measure.Failed as e:
            outcome.failed.setdefault(name, []).append(str(e))
            continue
        sample = Sample(figures, noise)
        if noise <= options.noise:
            outcome.clean.setdefault(name, []).append(sample)
            return
        outcome.noisy.setdefault(name, []).append(sample)
        if time.monotonic() > deadline:
            return


def run(case, options):
    outcome = Outcome(case)
    started = time.monotonic()
    try:
        case.begin(options)
        names = choose(case, options, outcome)
        budget = options.budget / max(1, len(names) * options.rounds)
        here = dataclasses.replace(options, seconds=max(0.7, min(options.seconds, budget - 2.2)))
        for i in range(options.rounds):
            # no second tries once this round's share of the time is used up
            deadline = started + options.budget * (i + 1) / options.rounds * 0.9
            for name in names:
                if name not in outcome.left_out:
                    progress(f"{case.name}: round {i + 1}/{options.rounds} {name}")
                    once(case, here, name, outcome, deadline)
            if time.monotonic() - started > options.budget and i + 1 < options.rounds:
                break
    except measure.Failed as e:
        outcome.left_out["all"] = str(e)
    finally:
        case.end()
        progress("")
    outcome.seconds = time.monotonic() - started
    return outcome


def progress(text):
    if sys.stderr.isatty():
        print(f"\r\033[K{text}", end="", file=sys.stderr, flush=True)
