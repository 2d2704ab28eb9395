"""What each client played, as a page of tables: docs/clients.md."""

MARK = {"ok": "✓", "failed": "✗", "left-out": "–"}
HEAD = """# Clients

Written by `scripts/test clients` (tests/compat); do not edit.

Unmodified clients play the same scenarios against a broker of ours, each its own broker. ✓ played, ✗ failed,
– left out: the client cannot do it, for the reason below its table.
"""


def page(clients, sets, played):
    """`sets`: (title, names of scenarios) in order. `played`: (client's name, scenario) to (word, why)."""
    lines = [HEAD, "| client | version | played | left out |", "|---|---|---|---|"]
    for client in clients:
        words = [word for (name, _), (word, _) in played.items() if name == client.name]
        lines.append(f"| {client.package} | {client.version()} | {words.count('ok')} | {words.count('left-out')} |")
    for title, names in sets:
        lines += ["", f"## {title}", "", *table(clients, names, played)]
    return "\n".join(lines) + "\n"


def table(clients, names, played):
    lines = ["| scenario | " + " | ".join(client.package for client in clients) + " |", "|---|" + "---|" * len(clients)]
    for name in names:
        lines.append(f"| {name} | " + " | ".join(MARK[played[client.name, name][0]] for client in clients) + " |")
    for client in clients:
        reasons = {}
        for name in names:
            word, why = played[client.name, name]
            if word == "left-out":
                reasons.setdefault(why, []).append(name)
        if reasons:
            lines += ["", f"Left out with {client.package}:", ""]
            lines += [f"- {why}: {'; '.join(of)}" for why, of in reasons.items()]
    return lines
