"""The verdict about all minutes, and their picture."""

import collections
import json

# Of what the process holds while the bad clients rest, a line through the last two thirds may rise
# by so much in an hour. At other times it depends on what these clients do at that moment.
RISE = 0.01
# Below so many rests a line says nothing.
ENOUGH = 6
HELD = {"anonymous": "anonymous memory", "descriptors": "descriptors", "threads": "threads"}


def judge(figures, picture):
    """Prints the verdict, draws the picture, and returns the exit code."""
    lines = [json.loads(line) for line in figures.read_text().splitlines()]
    minutes = [line for line in lines if "minute" in line]
    parts = collections.defaultdict(list)
    for minute in minutes:
        parts[minute["part"]].append(minute)
    picture.write_text(draw(list(parts.values())))
    problems = [problem for line in lines for problem in line["problems"]]
    print(f"\n{len(minutes)} minutes in {len(parts)} runs; {picture}")
    for name, what in HELD.items():
        rests = [[(minute["minute"], minute[name][0]) for minute in part if minute["rest"]] for part in parts.values()]
        values = [value for part in rests for _, value in part]
        if len(values) < ENOUGH:
            print(f"{what}: not judged, as the bad clients rested {len(values)} times only")
            continue
        rise = rise_in_an_hour(rests)
        print(f"{what} while the bad clients rested: {min(values)} to {max(values)}; in an hour {rise:+.2%}")
        if rise > RISE:
            problems.append(f"{what} grew by {rise:.2%} in an hour")
    for name, what in [
        ("oldest", "the oldest value, in seconds"),
        ("late", "the latest collection, in seconds"),
        ("most_requests", "the most requests in a second of an account and action"),
        ("pause", "the longest pause of this machine, in seconds"),
    ]:
        print(f"{what}: {max(minute[name] for minute in minutes)}")
    for name in ["requests", "refused", "answers", "misdeeds", "cpu_seconds"]:
        print(f"{name}: {sum(minute[name] for minute in minutes):.0f}")
    counts = collections.Counter()
    for part in parts.values():
        counts.update(part[-1]["counts"])
    print(", ".join(f"{name}: {count}" for name, count in sorted(counts.items()) if count))
    for problem in problems[:20]:
        print(f"NOT GOOD: {problem}")
    print(f"NOT GOOD: {len(problems)} problems" if problems else "good: nothing grew, nothing was late")
    return 1 if problems else 0


def rise_in_an_hour(parts):
    """By which part of its mean a figure rises in an hour: the slope of a line through the last
    two thirds of each part, which is a list of minutes with values. All parts have one slope, and
    each its own height."""
    above, below, total, count = 0.0, 0.0, 0.0, 0
    for part in parts:
        last = part[len(part) // 3 :]
        middle = sum(minute for minute, _ in last) / max(len(last), 1)
        mean = sum(value for _, value in last) / max(len(last), 1)
        above += sum((minute - middle) * (value - mean) for minute, value in last)
        below += sum((minute - middle) ** 2 for minute, _ in last)
        total, count = total + mean * len(last), count + len(last)
    return 60 * above / below / (total / count) if below and total else 0.0


def draw(parts):
    """The anonymous memory over the minutes, as SVG: the least and the most of each."""
    minutes = [minute for part in parts for minute in part]
    top = max(minute["anonymous"][1] for minute in minutes) / 1024 * 1.1
    width, height, left, bottom = 760, 260, 50, 30
    across = (width - left - 10) / max(len(minutes), 1)

    def point(at, kib):
        y = (height - bottom) - kib / 1024 / top * (height - bottom - 10)
        return f"{left + at * across:.1f},{y:.1f}"

    marks = []
    step = max(1, round(top / 5))
    for mib in range(0, int(top) + 1, step):
        y = point(0, mib * 1024).split(",")[1]
        marks.append(f'<path d="M{left} {y}H{width - 10}" stroke="#ddd"/>')
        marks.append(f'<text x="{left - 6}" y="{y}" dy="4" text-anchor="end">{mib}</text>')
    for at in range(0, len(minutes) + 1, max(10, len(minutes) // 100 * 10)):
        x = point(at, 0).split(",")[0]
        marks.append(f'<text x="{x}" y="{height - 12}" text-anchor="middle">{at}</text>')
    lines, at = [], 0
    for part in parts:
        for which, colour in [(1, "#e0a040"), (0, "#2060c0")]:
            points = (point(at + n + 0.5, minute["anonymous"][which]) for n, minute in enumerate(part))
            lines.append(f'<polyline points="{" ".join(points)}" fill="none" stroke="{colour}"/>')
        at += len(part)
    return "\n".join([
        f'<svg xmlns="http://www.w3.org/2000/svg" viewBox="0 0 {width} {height}" font-size="11" '
        'font-family="sans-serif">',
        f'<rect width="{width}" height="{height}" fill="#fff"/>',
        *marks, *lines,
        f'<text x="{left + 6}" y="14">anonymous memory in MiB, the most (orange) and the least (blue) of each minute</text>',
        "</svg>\n",
    ])
