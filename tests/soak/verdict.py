"""The verdict about all minutes, and their picture."""

import collections
import json

# Of what the process holds while the bad clients rest, a line through the last two thirds may rise
# by so much in an hour, and by two standard errors more, which may be chance. At other times it
# depends on what these clients do at that moment.
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
        rise, error = rise_in_an_hour(rests)
        print(
            f"{what} while the bad clients rested: {min(values)} to {max(values)};"
            f" in an hour {rise:+.1%}, with a standard error of {error:.1%}"
        )
        if rise - 2 * error > RISE:
            problems.append(f"{what} grew by {rise:.1%} in an hour")
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
    """By which part of its mean a figure rises in an hour, and the standard error of that: the
    slope of a line through the last two thirds of each part, which is a list of minutes with
    values. All parts have one slope, and each its own height."""
    lasts = [part[len(part) // 3 :] for part in parts if part]
    total = sum(value for last in lasts for _, value in last)
    points = []
    for last in lasts:
        middle, mean = (sum(each) / len(last) for each in zip(*last))
        points += [(minute - middle, value - mean) for minute, value in last]
    below = sum(minute**2 for minute, _ in points)
    free = len(points) - len(lasts) - 1
    if not total or not below or free < 1:
        return 0.0, float("inf")
    slope = sum(minute * value for minute, value in points) / below
    spread = sum((value - slope * minute) ** 2 for minute, value in points) / free
    an_hour = 60 / (total / len(points))
    return slope * an_hour, (spread / below) ** 0.5 * an_hour


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
        rests = (point(at + n + 0.5, minute["anonymous"][0]) for n, minute in enumerate(part) if minute["rest"])
        lines += (f'<circle cx="{x}" cy="{y}" r="3" fill="#2060c0"/>' for x, y in (each.split(",") for each in rests))
        at += len(part)
    return "\n".join([
        f'<svg xmlns="http://www.w3.org/2000/svg" viewBox="0 0 {width} {height}" font-size="11" '
        'font-family="sans-serif">',
        f'<rect width="{width}" height="{height}" fill="#fff"/>',
        *marks, *lines,
        f'<text x="{left + 6}" y="14">anonymous memory in MiB, the most (orange) and the least (blue) of each minute; dots: bad clients rest</text>',
        "</svg>\n",
    ])
